"""The secret that turns user ids into keys: from the environment, or made once in the home."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from onlineeval_dagster.errors import SettingsError
from onlineeval_dagster.settings import Settings

LEAST = 16


def user_salt(settings: Settings) -> bytes:
    """ONLINEEVAL_USER_SALT, or `<home>/state/salt`, made (mode 0600) where it is not there yet.

    Raises SettingsError where it is too short, or cannot be read or made.
    """
    if settings.user_salt is not None:
        if len(settings.user_salt) < LEAST:
            raise SettingsError(
                f"ONLINEEVAL_USER_SALT: {len(settings.user_salt)} characters; give {LEAST} or more, "
                "such as those of: openssl rand -hex 32"
            )
        return settings.user_salt.encode()
    file = settings.home / "state" / "salt"
    try:
        salt = file.read_bytes() if file.exists() else _made(file)
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}; make it readable, or set ONLINEEVAL_USER_SALT") from error
    if len(salt.strip()) < LEAST:
        raise SettingsError(f"{file}: {len(salt.strip())} bytes are too few; put it back from the backup")
    return salt.strip()


def _made(file: Path) -> bytes:
    """A new salt, whole or not at all: of two processes the first one's counts, for both."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".salt-{os.getpid()}-{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(secrets.token_hex(32).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):  # there is one already: never replaced
            os.link(draft, file)
    finally:
        draft.unlink(missing_ok=True)
    return file.read_bytes()
