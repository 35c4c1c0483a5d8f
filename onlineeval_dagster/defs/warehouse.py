"""dbt counts: staging and marts of moments over the touched days, its tests as asset checks."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import orjson
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource, DbtProject, dbt_assets
from dagster_dbt.errors import DagsterDbtCliRuntimeError
from packaging.version import Version

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.tables import FULL, listed
from onlineeval_dagster.lake.lock import holding
from onlineeval_dagster.warehouse.duckdb import Shape, dbt_vars, finish, in_chunks, plan_build, prepare, table_shapes

_PARSE_SECONDS = 120
_PACKAGE = Path(__file__).resolve().parents[1]


def project_folder() -> Path:
    """The dbt project: beside the package in a checkout, inside it in a wheel."""
    beside = _PACKAGE.parent / "dbt_project"
    return beside if beside.is_dir() else _PACKAGE / "dbt_project"


class Dbt(DbtCliResource):
    """dbt's command line, started without what only metadata fetched through an adapter needs: 4.5 s less a tick.

    Should dagster-dbt call these two otherwise one day, nothing breaks; it is slower again.
    """

    @cached_property
    def _cli_version(self) -> Version:
        return Version(version("dbt-core"))  # instead of running `dbt --version`: 1.9 s

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> Any:  # noqa: ARG002
        return None  # instead of loading dbt into this process: 2.6 s; table_shapes asks DuckDB itself


def dbt_executable() -> str:
    """The dbt of this environment, which need not be activated."""
    beside = Path(sys.executable).with_name("dbt")
    return str(beside) if beside.exists() else "dbt"


def load_project() -> DbtProject:
    """The project with a manifest that is newer than its sources; dbt parses where it is not."""
    settings = Place().settings()
    project = DbtProject(project_dir=project_folder(), target_path=settings.home / "dbt" / "parsed")
    with holding(
        settings.home / "locks" / "dbt.lock", what="the dbt manifest", purpose="parsing", wait_seconds=_PARSE_SECONDS
    ):
        if not _is_current(project.manifest_path):
            dbt = Dbt(project_dir=str(project_folder()), dbt_executable=dbt_executable())
            dbt.cli(["parse", "--quiet"], target_path=project.target_path).wait()
    return project


def _is_current(manifest: Path) -> bool:
    sources = [path for path in project_folder().rglob("*") if path.suffix in {".sql", ".yml"}]
    return manifest.exists() and manifest.stat().st_mtime >= max(path.stat().st_mtime for path in sources)


class Translator(DagsterDbtTranslator):
    """dbt's models in the words of the house."""

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        return str(dbt_resource_props["fqn"][1])

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str] | None:  # noqa: ARG002
        return ["team:evaluation"]

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        if dbt_resource_props["resource_type"] == "source":
            return dg.AssetKey(dbt_resource_props["name"])
        return dg.AssetKey(dbt_resource_props["alias"])


PROJECT = load_project()


@dbt_assets(
    name="warehouse",
    manifest=PROJECT.manifest_path,
    project=PROJECT,
    dagster_dbt_translator=Translator(settings=DagsterDbtTranslatorSettings(enable_source_tests_as_checks=True)),
    pool="warehouse",
)
def warehouse(context: dg.AssetExecutionContext, dbt: Dbt, place: Place) -> Iterator[Any]:
    """Build the touched days: the lake shown as views, dbt over them, then the build recorded.

    Without partitions: which days a run builds is known only once the log has been taken in. To build a day again,
    backfill `signals` of that day; the next tick builds what changed.
    """
    file, lake = place.settings().warehouse_file, place.lake()
    with place.warehouse("building"):
        catalog = place.catalog().whole()
        run = _Dbt(dbt=dbt, arguments=_arguments(file, catalog), target=place.settings().home / "dbt" / "run")
        build = plan_build(file, lake, catalog)
        *earlier, last = in_chunks(lake, build.days if build else ())
        for chunk in earlier:
            prepare(file, lake, chunk)
            run.quietly("build")
        prepare(file, lake, last)
        events, failure = run.told("build", context)
        if build is not None and failure is None:
            finish(file, build)
        if context.run.tags.get(FULL) == "true" and failure is None:
            prepare(file, lake, lake.days("responses"))
            failure = run.failure_of("test")
        shapes = table_shapes(file)
    yield from (_with_shape(event, shapes) for event in events)
    if failure is not None:
        raise failure
    context.log.info(f"built days {listed(build.days if build else ())}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dbt:
    """dbt with this run's variables; `target` is for runs alone, so that nobody writes the manifest Dagster reads."""

    dbt: Dbt
    arguments: list[str]
    target: Path

    def quietly(self, verb: str) -> None:
        self.dbt.cli([verb, *self.arguments], target_path=self.target).wait()

    def failure_of(self, verb: str) -> Exception | None:
        try:
            self.quietly(verb)
        except DagsterDbtCliRuntimeError as failure:
            return failure
        return None

    def told(self, verb: str, context: dg.AssetExecutionContext) -> tuple[list[Any], Exception | None]:
        """All of dbt's events as Dagster's, the failed tests among them, and the failure they end in."""
        events: list[Any] = []
        try:
            for event in self.dbt.cli([verb, *self.arguments], context=context, target_path=self.target).stream():
                events.append(event)
        except DagsterDbtCliRuntimeError as failure:
            return events, failure
        return events, None


def _arguments(file: Path, catalog: Catalog) -> list[str]:
    return ["--vars", orjson.dumps(dbt_vars(file, catalog)).decode(), "--exclude-resource-type", "unit_test"]


def _with_shape(event: Any, shapes: Mapping[str, Shape]) -> Any:
    """A model's event with its columns and its number of rows."""
    if not isinstance(event, dg.Output | dg.AssetMaterialization | dg.MaterializeResult):
        return event
    name = event.output_name if isinstance(event, dg.Output) else (event.asset_key or dg.AssetKey("?")).path[-1]
    shape = shapes.get(name)
    if shape is None:
        return event
    listed_columns = [dg.TableColumn(column, kind) for column, kind in shape.columns.items()]
    told: dict[str, Any] = {"dagster/column_schema": dg.TableSchema(columns=listed_columns)}
    if shape.rows is not None:
        told["dagster/row_count"] = shape.rows
    if isinstance(event, dg.Output):
        return event.with_metadata({**event.metadata, **told})
    return event._replace(metadata={**(event.metadata or {}), **told})


def build_defs() -> dg.Definitions:
    return dg.Definitions(
        assets=[warehouse], resources={"dbt": Dbt(project_dir=str(project_folder()), dbt_executable=dbt_executable())}
    )
