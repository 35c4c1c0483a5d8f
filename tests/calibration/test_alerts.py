"""Rules on quiet series open no more incidents than their budget."""

import numpy as np
import pytest

from tests.calibration.alerts import quiet_runs


@pytest.mark.slow
def test_incidents_where_nothing_happens_stay_within_the_budget():
    for row in quiet_runs(8, budget=1.0):
        assert row.incidents <= row.weeks + 3 * np.sqrt(row.weeks), row
        assert row.late <= row.late_weeks + 3 * np.sqrt(row.late_weeks), row
