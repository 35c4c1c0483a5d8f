"""Error rates of experiments are what they are said to be: all of them slowly, the quick ones always."""

import numpy as np
import pytest

from tests.calibration.experiments import families, fixed_looks, lines
from tests.calibration.lines import Line


@pytest.mark.slow
def test_every_rate_of_the_summary_is_what_it_has_to_be() -> None:
    assert [line for line in lines(4_000) if not line.holds] == []


def test_the_quick_ones_hold() -> None:
    rng = np.random.default_rng(88)
    found: list[Line] = [*families(rng, 2_000), *fixed_looks(rng, 200)]
    assert [line for line in found if not line.holds] == []
