"""Table of contents: every room's definitions, in the order in which data flows."""

import warnings

import dagster as dg

from onlineeval_dagster.defs import (
    alerts,
    batches,
    coverage,
    experiments,
    imports,
    ingest,
    judges,
    keeping,
    metrics,
    people,
    promotion,
    quality,
    rejudging,
    reports,
    review,
    sampling,
    signals,
    ticks,
    trials,
    validity,
    versions,
    warehouse,
    worth,
)
from onlineeval_dagster.defs.place import Place

# Dagster copies sensors by way of parameters that it calls beta itself: no news to whoever runs this.
warnings.filterwarnings("ignore", category=dg.BetaWarning, module="dagster")

defs = dg.Definitions.merge(
    imports.defs,
    keeping.defs,
    ingest.defs,
    signals.defs,
    validity.defs,
    sampling.defs,
    judges.defs,
    rejudging.defs,
    batches.defs,
    versions.defs,
    trials.defs,
    coverage.defs,
    warehouse.build_defs(),
    metrics.defs,
    alerts.defs,
    people.defs,
    worth.defs,
    review.defs,
    promotion.defs,
    experiments.defs,
    reports.defs,
    quality.defs,
    ticks.defs,
    dg.Definitions(resources={"place": Place()}, executor=dg.in_process_executor),
)
