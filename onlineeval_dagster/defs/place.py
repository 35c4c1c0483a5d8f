"""The resource every asset takes: settings, lake and catalog, read anew at each use."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import dagster as dg
from dagster_duckdb import DuckDBResource

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.errors import LakeError, OnlineEvalError, WarehouseError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.lock import holding
from onlineeval_dagster.settings import Settings, load_settings
from onlineeval_dagster.warehouse.duckdb import warehouse_held


class Place(dg.ConfigurableResource):
    """Where this pipeline lives. `home` replaces ONLINEEVAL_HOME, for tests."""

    home: str | None = None

    def settings(self) -> Settings:
        return load_settings() if self.home is None else load_settings(home=self.home)

    def lake(self) -> Lake:
        return Lake(self.settings().lake_folder)

    def catalog(self) -> Catalog:
        return load_catalog(self.settings().catalog)

    def duckdb(self) -> DuckDBResource:
        """The warehouse as dagster-duckdb's resource; open it inside `warehouse`."""
        return DuckDBResource(database=str(self.settings().warehouse_file))

    def now(self) -> datetime:
        return datetime.now(UTC)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """One run at a time decides and writes for stage `name`: two would decide the same twice."""
        settings = self.settings()
        lock = settings.home / "locks" / f"{name}.lock"
        with (
            told_plainly(),
            holding(lock, what=f"stage {name}", purpose=name, wait_seconds=settings.warehouse_wait_seconds),
        ):
            yield

    @contextmanager
    def warehouse(self, purpose: str) -> Iterator[None]:
        settings = self.settings()
        with (
            told_plainly(),
            warehouse_held(settings.warehouse_file, wait_seconds=settings.warehouse_wait_seconds, purpose=purpose),
        ):
            yield


# What another attempt may find mended: a lock that was held, a commit that met another.
_PASSING = (LakeError, WarehouseError)


@contextmanager
def told_plainly() -> Iterator[None]:
    """Our own errors fail the step with their message; those that stay as they are, without another attempt."""
    try:
        yield
    except OnlineEvalError as error:
        raise dg.Failure(description=str(error), allow_retries=isinstance(error, _PASSING)) from error
