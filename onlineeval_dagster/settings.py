"""The environment as one frozen value. Nothing else reads os.environ."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from onlineeval_dagster.errors import SettingsError

PACKAGED_CATALOG = Path(__file__).parent / "catalog"
# Delta tables cannot lie below these: the library reads a path as an address, some of it twice.
_NOT_IN_A_HOME = re.compile(r"[\[\]|^\\\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}")


class Settings(BaseSettings):
    """Where things lie and how they behave; each field is the variable ONLINEEVAL_<FIELD>.

    home               folder of log, lake, warehouse and reports
    catalog            folder with the user's own catalog; the packaged one by default
    retention_days     events older than this are quarantined (days)
    rotate_bytes, rotate_seconds   when a segment is sealed
    warehouse_wait_seconds         how long to wait for the warehouse before naming its holder
    serve_host, serve_port         where `onlineeval serve` listens; port 0 takes a free one
    serve_body_bytes               largest request, unpacked (bytes)
    serve_batch_events             most events in one request
    serve_event_bytes              largest event (bytes); at most 16 MiB, as the log reads no longer line
    serve_queue_bytes              what may be in memory on its way to the disk before requests get 503 (bytes)
    serve_events_per_second        what one API key may send on average, with bursts of ten seconds' worth; 0: no limit
    serve_free_bytes               with less free space than this `/readyz` says no (bytes)
    queue              address of the queue that a run drains before it takes the log in; none by default
    labelled_data      folder of labelled answers for `onlineeval signals evaluate`; none by default
    user_salt          secret of the keys that stand for user ids; made once in home/state/salt where it is not set
    openai_base_url, openai_api_key  OPENAI_BASE_URL and OPENAI_API_KEY: the judges' endpoint
    """

    model_config = SettingsConfigDict(env_prefix="ONLINEEVAL_", frozen=True, extra="ignore")

    home: Path = Path(".onlineeval")
    catalog: Path = PACKAGED_CATALOG
    retention_days: int = Field(default=400, ge=1)
    rotate_bytes: int = Field(default=64 * 2**20, ge=1024)
    rotate_seconds: float = Field(default=60, gt=0)
    warehouse_wait_seconds: float = Field(default=60, ge=0)
    serve_host: str = "127.0.0.1"
    serve_port: int = Field(default=8321, ge=0, le=65535)
    serve_body_bytes: int = Field(default=8 * 2**20, ge=1024, le=2**30)
    serve_batch_events: int = Field(default=10_000, ge=1)
    serve_event_bytes: int = Field(default=2**20, ge=1024, le=16 * 2**20)
    serve_queue_bytes: int = Field(default=64 * 2**20, ge=2**20)
    serve_events_per_second: float = Field(default=20_000, ge=0)
    serve_free_bytes: int = Field(default=256 * 2**20, ge=0)
    queue: str | None = Field(default=None, repr=False)
    labelled_data: Path | None = None
    user_salt: str | None = Field(default=None, repr=False)
    openai_base_url: str = Field(default="https://api.openai.com/v1", validation_alias="OPENAI_BASE_URL")
    openai_api_key: str | None = Field(default=None, validation_alias="OPENAI_API_KEY", repr=False)

    @property
    def log_folder(self) -> Path:
        return self.home / "log"

    @property
    def lake_folder(self) -> Path:
        return self.home / "lake"

    @property
    def warehouse_file(self) -> Path:
        return self.home / "warehouse" / "onlineeval.duckdb"

    @property
    def report_folder(self) -> Path:
        return self.home / "reports"

    @property
    def keys_file(self) -> Path:
        return self.home / "state" / "collector_keys.json"

    @property
    def judge_state_file(self) -> Path:
        return self.home / "state" / "judges.sqlite"

    @property
    def review_tasks_file(self) -> Path:
        return self.home / "published" / "review.sqlite"

    @property
    def review_state_file(self) -> Path:
        return self.home / "state" / "review.sqlite"

    @property
    def outbox_file(self) -> Path:
        return self.home / "state" / "alerts.sqlite"

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment, `overrides` first.

    Raises SettingsError naming the variable, its value and the remedy.
    """
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = f"ONLINEEVAL_{str(first['loc'][0]).upper()}"
        raise SettingsError(f"{name}: {first['msg']}, got {first['input']!r}; unset it or correct it") from error
    home = settings.home.absolute()
    if odd := _NOT_IN_A_HOME.search(str(home)):
        raise SettingsError(
            f"ONLINEEVAL_HOME: {str(home)!r} holds {odd[0]!r}, below which no tables can lie; rename it"
        )
    return settings.model_copy(update={"home": home, "catalog": settings.catalog.absolute()})


def secret(name: str) -> str | None:
    """The environment variable of this name; None where it is not set or empty."""
    return os.environ.get(name, "").strip() or None


def with_environment(text: str, *, place: str, escape: Callable[[str], str] = str) -> str:
    """`text` with each `${NAME}` replaced by that environment variable. Raises SettingsError where one is unset."""

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if not found:
            raise SettingsError(f"{place}: the environment variable {match[1]} is not set; set it, or write the value")
        return escape(found)

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", value, text)


def child_environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment for a child process that is to work in the same home with the same catalog."""
    ours = {"ONLINEEVAL_HOME": str(settings.home), "ONLINEEVAL_CATALOG": str(settings.catalog)}
    # `dagster dev` advises whoever starts it to use another tool, meant for projects laid out for that tool.
    calm = {"PYTHONWARNINGS": "ignore::FutureWarning:click.core"}
    return calm | dict(os.environ) | ours | more
