"""The pipeline as users run it: the real jobs, in this process, over a home in a folder of the test."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from onlineeval_dagster.defs.ingest import INGESTED
from onlineeval_dagster.defs.launch import RunOutcome, instance_folder, run_job
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.settings import Settings, load_settings

LAKE = tuple(INGESTED)
"""What one step of the pipeline writes together: it cannot be asked for less."""


@contextmanager
def living_at(home: Path, **environment: str) -> Iterator[Settings]:
    """The environment says that this is the home; more variables by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONLINEEVAL_HOME", str(home))
        for name, value in environment.items():
            patch.setenv(name, value)
        yield load_settings()


def definitions() -> dg.Definitions:
    """Every definition; the first call parses the dbt project."""
    from onlineeval_dagster.definitions import defs

    return defs


def run_in(
    home: Path,
    job: str = "tick",
    *,
    partition: str | None = None,
    tags: Mapping[str, str] | None = None,
    **environment: str,
) -> RunOutcome:
    """Run a job as `onlineeval run` does."""
    with living_at(home, **environment) as settings:
        found = definitions().resolve_job_def(job)
        return run_job(settings, found, tell=lambda step, state: None, partition=partition, tags=tags)


def run_assets(
    home: Path, names: Sequence[str], *, partition: str | None = None, **environment: str
) -> dg.ExecuteInProcessResult:
    """Run some assets of the tick with their checks, and nothing else of it."""
    with living_at(home, **environment) as settings, instance_at(settings) as instance:
        return (
            definitions()
            .resolve_job_def("tick")
            .execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(name) for name in names],
                partition_key=partition,
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        )


@contextmanager
def instance_at(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(instance_folder(settings))) as instance:
        yield instance


def table(settings: Settings, name: str, sql: str = "") -> list[dict[str, Any]]:
    """All rows of a table of the lake, or what `sql` asks of it."""
    return rows(Lake(settings.lake_folder), sql or f"select * from {name}", {name: None}).to_pylist()
