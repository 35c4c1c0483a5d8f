"""The packaged rules on quiet weeks, through the product's own way from points to incidents."""

import numpy as np
import pytest

from tests.calibration.standard_set import TRAFFIC, quiet


@pytest.mark.slow
@pytest.mark.parametrize("an_hour", TRAFFIC)
def test_the_standard_rules_open_at_most_one_incident_a_week_where_nothing_happens(an_hour):
    row = quiet(an_hour, runs=8)
    assert row.grown <= row.grown_weeks + 3 * np.sqrt(row.grown_weeks), row
    assert row.young <= row.young_weeks + 3 * np.sqrt(row.young_weeks), row
