"""What each reading of a configured source brought, as rows of the table `imports`."""

from collections.abc import Sequence

import pyarrow as pa

from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.rows import Pull
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake


def record_pulls(lake: Lake, pulls: Sequence[Pull]) -> None:
    """Add the pulls in one commit. Where a kill prevents it, the log and the cursor are right all the same."""
    if not pulls:
        return
    days = pa.array([pull.started_at.date() for pull in pulls], pa.date32())
    lake.append("imports", to_table(list(pulls), Pull).append_column("day", days).cast(TABLES["imports"].schema))
