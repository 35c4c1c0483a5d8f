"""The address of a queue: one URL, with what is secret kept out of every message."""

import hashlib
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from onlineeval_dagster.errors import SettingsError
from onlineeval_dagster.settings import with_environment

FORMS = (
    "kafka://host:9092/topic",
    "amqp://user:password@host:5672/vhost?stream=name",
    "sqs://region/queue",
)
"""What an address looks like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A URL in its parts. `hosts` is host:port, several with commas; `options` are what follows the question mark."""

    scheme: str
    hosts: str
    path: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    options: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> str:
        """The address for people: without user, password and options."""
        return f"{self.scheme}://{self.hosts}/{self.path}"

    def option(self, name: str) -> str:
        """An option that must be there. Raises SettingsError."""
        if not self.options.get(name):
            raise SettingsError(f"{self.shown}: ?{name}= is missing; write it as in {' or '.join(FORMS)}")
        return self.options[name]


def parse_address(url: str) -> Address:
    """The parts of a URL; `${NAME}` in it stands for an environment variable. Raises SettingsError."""
    full = with_environment(url, place="queue address", escape=lambda value: quote(value, safe=""))
    try:
        parts = urlsplit(full)
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError as error:  # its message may quote the password
        raise SettingsError(f"queue address: cannot be read; write it as in {' or '.join(FORMS)}") from error
    who, _, hosts = parts.netloc.rpartition("@")
    user, _, password = who.partition(":")
    return Address(
        scheme=parts.scheme,
        hosts=hosts,
        path=unquote(parts.path.removeprefix("/")),
        user=unquote(user) or None,
        password=unquote(password) or None,
        options=options,
    )


def identity_of(*words: str) -> str:
    """8 hex digits that stand for one topic of one broker."""
    return hashlib.md5("\0".join(words).encode(), usedforsecurity=False).hexdigest()[:8]
