"""Real series, real labels: scores by the rules of NAB, TCPD and Microsoft's cloud metrics; real traffic's rhythm."""

import numpy as np
import pytest

from tests.real import anomalies

missing = [str(file) for file in anomalies.FILES if not file.exists()]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"real data is not there: {', '.join(missing)}")


@pytest.fixture(scope="module")
def ours():
    return anomalies.nab_ours()


def test_the_scoring_is_nabs_own():
    # Reference values for the development series alone, published_figures.json of the data.
    peers = anomalies.nab_peers()
    assert peers["windowedGaussian"][0] == pytest.approx(39.404, abs=5e-4)
    assert peers["numenta"][0] == pytest.approx(74.015, abs=5e-4)


def test_surprises_score_above_all_but_one_of_nabs_recorded_detectors(ours):
    assert ours[0] >= 71.4, "contextOSE, the second"
    assert min(ours) >= 68


def test_the_score_does_not_hang_on_one_setting():
    assert min(anomalies.nab_ours(lasting=6)[0], anomalies.nab_ours(half_life=96)[0]) >= 65


def test_detrended_limits_find_more_of_what_people_marked_than_three_sigma():
    found = anomalies.mscloud()
    plain, both = found["plain 3 sigma over the last 28 days"], found["detrended, beyond 4 either way"]
    assert both[2] > plain[2] + 0.05 and both[1] > 2 * plain[1]


def test_change_points_are_where_people_see_them():
    scored = np.array(list(anomalies.tcpd().values()))
    assert scored[:, 0].mean() >= 0.75 and scored[:, 1].mean() >= 0.75


def test_real_traffic_keeps_no_daily_rhythm_once_detrended():
    raw, left = anomalies.servegen()
    assert raw > 0.3 and abs(left) < 0.1


def test_terrorism_cost_the_basque_country_what_was_published():
    # pysyncon, examples/basque.ipynb, Abadie and Gardeazabal 2003: Cataluna .851, Madrid .149, effect -0.6996.
    found, names = anomalies.basque()
    weights = dict(zip(names, found.weights, strict=True))
    assert found.gaps[20:].mean() == pytest.approx(-0.6996, abs=0.01)
    assert weights["Cataluna"] == pytest.approx(0.851, abs=0.03)
    assert weights["Madrid (Comunidad De)"] == pytest.approx(0.149, abs=0.03)


def test_the_comparison_of_causal_impact_comes_out_within_one_of_its_own_deviations():
    # R's CausalImpact: -657 (sd 736), tfcausalimpact's README.
    found = anomalies.causal_impact()
    assert abs(found.value - -657) < 736 and found.low < 0 < found.high
