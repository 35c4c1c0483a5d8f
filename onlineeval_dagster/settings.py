"""The environment as one frozen value. Nothing else reads os.environ."""

import os
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from onlineeval_dagster.errors import SettingsError

PACKAGED_CATALOG = Path(__file__).parent / "catalog"


class Settings(BaseSettings):
    """Where things lie and how they behave; each field is the variable ONLINEEVAL_<FIELD>.

    home               folder of log, lake, warehouse and reports
    catalog            folder with the user's own catalog; the packaged one by default
    retention_days     events older than this are quarantined (days)
    rotate_bytes, rotate_seconds   when a segment is sealed
    warehouse_wait_seconds         how long to wait for the warehouse before naming its holder
    openai_base_url, openai_api_key  OPENAI_BASE_URL and OPENAI_API_KEY: the judges' endpoint
    """

    model_config = SettingsConfigDict(env_prefix="ONLINEEVAL_", frozen=True, extra="ignore")

    home: Path = Path(".onlineeval")
    catalog: Path = PACKAGED_CATALOG
    retention_days: int = Field(default=400, ge=1)
    rotate_bytes: int = Field(default=64 * 2**20, ge=1024)
    rotate_seconds: float = Field(default=60, gt=0)
    warehouse_wait_seconds: float = Field(default=60, ge=0)
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
    return settings.model_copy(update={"home": settings.home.absolute(), "catalog": settings.catalog.absolute()})


def child_environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment for a child process that is to work in the same home with the same catalog."""
    ours = {"ONLINEEVAL_HOME": str(settings.home), "ONLINEEVAL_CATALOG": str(settings.catalog)}
    return dict(os.environ) | ours | more
