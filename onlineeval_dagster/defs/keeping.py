"""What was erased, in the lineage: ingest asks it, `onlineeval erase` and the night write it."""

import dagster as dg

from onlineeval_dagster.defs.quality import contract_checks
from onlineeval_dagster.defs.tables import table_spec

# No run makes it: a request does.
TOMBSTONES = table_spec("tombstones", group="keeping")

defs = dg.Definitions(assets=[TOMBSTONES], asset_checks=[contract_checks("check_tombstones", ["tombstones"])])
