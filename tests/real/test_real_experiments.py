"""ASOS' digital experiments (Liu et al. 2021, CC BY 4.0): every look of every comparison."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from onlineeval_dagster.experiments.bayes import learnt_prior
from onlineeval_dagster.experiments.compare import compare
from onlineeval_dagster.experiments.moments import UnitMoments
from onlineeval_dagster.experiments.sequential import always_valid_p

FILE = Path(__file__).parents[3] / "shared" / "data" / "experiments" / "asos_digital.parquet"
if not FILE.exists():
    pytest.skip(f"real data is not there: {FILE}", allow_module_level=True)
KEYS = ["experiment_id", "variant_id", "metric_id"]


@pytest.fixture(scope="module")
def looks() -> pd.DataFrame:
    found = pd.read_parquet(FILE).dropna()
    return found[(found["count_c"] > 100) & (found["count_t"] > 100) & (found["variance_c"] > 0)].reset_index(drop=True)


@pytest.fixture(scope="module")
def compared(looks: pd.DataFrame):
    products = np.zeros((len(looks), 2, 3, 3))
    for arm, side in enumerate("ct"):
        n, mean, variance = (looks[f"{name}_{side}"].to_numpy() for name in ("count", "mean", "variance"))
        square = variance * (n - 1) + n * mean**2
        products[:, arm] = np.moveaxis(
            np.array([[n, n * mean, n], [n * mean, square, n * mean], [n, n * mean, n]]), 2, 0
        )
    return compare(UnitMoments(products=products))


def test_every_look_is_scipys_welch_test(looks: pd.DataFrame, compared) -> None:
    assert len(looks) == 9_938
    sides = [(looks[f"mean_{side}"], looks[f"variance_{side}"] ** 0.5, looks[f"count_{side}"]) for side in "tc"]
    told = stats.ttest_ind_from_stats(*(column.to_numpy() for side in sides for column in side), equal_var=False)
    np.testing.assert_allclose(compared.p_value()[:, 0], told.pvalue, rtol=2e-4, atol=1e-12)
    np.testing.assert_allclose(compared.difference[:, 0], looks["mean_t"] - looks["mean_c"], rtol=1e-6, atol=1e-12)


def test_looking_all_the_time_calls_more_than_an_always_valid_test_does(looks: pd.DataFrame, compared) -> None:
    planned = looks.groupby(KEYS)["count_c"].transform("max")
    valid = always_valid_p(compared.z()[:, 0], looks["count_c"] / planned, alpha=0.05)
    each = looks[KEYS].assign(naive=compared.p_value()[:, 0], valid=valid)
    ever = (each.groupby(KEYS)[["naive", "valid"]].min() < 0.05).sum()
    last = each.groupby(KEYS)["naive"].last()
    assert ever["valid"] < (last < 0.05).sum() * 1.2 < ever["naive"]
    assert (int(ever["naive"]), int(ever["valid"])) == (101, 52), "a reference value of ours"


def test_the_past_of_a_company_gives_a_prior(looks: pd.DataFrame, compared) -> None:
    last = looks.groupby(KEYS).tail(1).index
    learnt = learnt_prior(compared.lift[last, 0], compared.lift_error[last, 0])
    assert isinstance(learnt, float) and 0.001 < learnt < 0.05, "changes of one percent are large there"
