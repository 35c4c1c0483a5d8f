"""Catalogs and lakes for the tests of selection."""

import dataclasses
from datetime import datetime
from typing import Any

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.catalog.sampling_file import Sampling
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.sampling.select import Selected, select_responses
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.signals.stage import derive_signals

CATALOG = load_catalog(PACKAGED_CATALOG)
RATES = {
    "salt": "cohort-1",
    "flagged": {"rate": 1.0},
    "new_version": {"rate": 0.3, "hours": 48},
    "normal": {"rate": 0.1},
}


def catalog_with(*, judges: tuple[Judge, ...] | None = None, **sampling: Any) -> Catalog:
    """The packaged catalog with its rates as in `RATES`, some of them replaced, and other judges where given."""
    judges = CATALOG.live_judges[:1] if judges is None else judges
    return dataclasses.replace(CATALOG, judges=judges, sampling=Sampling.model_validate(RATES | sampling))


def judge(name: str = "relevance", **more: Any) -> Judge:
    return dataclasses.replace(CATALOG.live_judges[0], name=name, **more)


def select(lake: Lake, catalog: Catalog, *, now: datetime) -> Selected:
    """The stage as a run has it: after the signals."""
    derive_signals(lake, catalog, now=now)
    return select_responses(lake, catalog, now=now)


def decisions(lake: Lake, *, judge: str = "relevance", targeted: bool = False) -> dict[str, dict[str, Any]]:
    """The judge's rows by response: of the sample, or the targeted ones."""
    wanted = f"judge = '{judge}' and (stratum = 'targeted') = {targeted}"
    found = rows(lake, f"select * exclude (file_name) from selections where {wanted}", {"selections": None}).to_pylist()
    by_id = {row["response_id"]: row for row in found}
    assert len(by_id) == len(found), "one row a response"
    return by_id


def drawn(decided: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, row in decided.items() if row["state"] == "selected"}
