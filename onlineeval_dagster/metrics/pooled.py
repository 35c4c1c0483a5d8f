"""One metric over many days together, for products too small to have a number a day."""

from collections.abc import Collection
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.lake.scan import literals
from onlineeval_dagster.metrics.moments import moments_from_rows, sums
from onlineeval_dagster.metrics.stage import estimate, family_of
from onlineeval_dagster.warehouse.duckdb import column_of, query


def pooled_estimate(file: Path, catalog: Catalog, metric: str, days: Collection[date]) -> Estimate | NotEnough:
    """The metric over all responses of `days`, a user's summed over all of them.

    Of a judge's metric only the version in force counts. Reads a row a response: for small traffic.
    """
    entry = catalog.metrics.metrics[metric]
    judge = next((judge for judge in catalog.judges if judge.name == entry.judge), None)
    value = f"({entry.numerator})::boolean::int::double" if entry.kind == "rate" else f"({entry.numerator})::double"
    if judge is None:
        stratum, counted, lost = "'all'", f"({entry.numerator}) is not null", "false"
    else:
        column = column_of(judge.name)
        stratum = f"{column}_stratum || ' at ' || {column}_probability"
        lost = f"coalesce({column}_state in ('failed', 'shed'), false)"
        counted = f"{column}_probability is not null and {column}_version = '{judge.version}'"
    listed = ", ".join(f"date '{day}'" for day in sorted(days)) or "null"
    environments = literals(catalog.sampling.environments)
    rows = query(
        file,
        f"select {stratum} as stratum, user_key, {value} as value, {lost} as lost from marts.response_facts "
        f"where day in ({listed}) and environment in ({environments}) "
        f"and ({entry.filter}) and ({entry.denominator}) and {counted}",
    )
    if not len(rows):
        return NotEnough(have=0, needed=1, reason="no answer that counts")
    strata, cell_of_row = np.unique(np.asarray(rows.column("stratum").to_pylist()), return_inverse=True)
    moments = moments_from_rows(
        np.zeros(len(rows), dtype=np.int64),
        cell_of_row,
        np.asarray(rows.column("user_key").to_pylist()),
        rows.column("value").to_numpy(),
    )
    is_lost = rows.column("lost").to_numpy(zero_copy_only=False).astype(np.float64)
    found = estimate(family_of(catalog, metric), replace(moments, lost=sums(cell_of_row, is_lost, len(strata))))
    if not found.answered[0]:
        return NotEnough(have=int(found.have[0]), needed=int(found.needed[0]), reason=str(found.reason[0]))
    return Estimate(
        value=float(found.value[0]),
        low=float(found.low[0]),
        high=float(found.high[0]),
        n=int(found.n[0]),
        n_effective=float(found.n_effective[0]),
        method=found.method,
    )
