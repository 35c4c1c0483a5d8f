"""Who rates: the rate by slice with intervals clustered by user, and only true differences called so."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.metrics.estimates import estimate_rates
from onlineeval_dagster.metrics.moments import moments_from_rows
from onlineeval_dagster.metrics.raters import MOST_VALUES, raters
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.warehouse.dry_run import fact_columns
from onlineeval_dagster.warehouse.duckdb import connection

CATALOG = load_catalog(PACKAGED_CATALOG)
DAYS = [date(2026, 11, 1) + timedelta(days=number) for number in range(7)]


def warehouse(file, frame):
    """Facts with the columns of `frame`, all other columns null."""
    columns = fact_columns(CATALOG)
    given = frame.assign(environment="production")
    with connection(file) as opened:
        opened.execute("create schema marts")
        listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        opened.execute(f"create table marts.response_facts ({listed})")
        opened.register("given", given)
        names = ", ".join(given.columns)
        opened.execute(f"insert into marts.response_facts ({names}) select {names} from given")
    return file


def product(rng, *, users=600, new=0.02, known=0.06, spread=0.0):
    """Four answers a user in the week; a tenth of the users are new. `spread`: how far users differ in rating."""
    is_new = rng.random(users) < 0.5
    rates = np.where(is_new, new, known)
    if spread:
        rates = rng.beta(rates * (1 / spread - 1), (1 - rates) * (1 / spread - 1))
    rows = np.repeat(np.arange(users), 4)
    return pd.DataFrame(
        {
            "response_id": [f"r{number}" for number in range(len(rows))],
            "day": [DAYS[number % 7] for number in range(len(rows))],
            "user_key": [f"u{user}" for user in rows],
            "new_user": is_new[rows],
            "device": rng.choice(["mobile", "desktop"], len(rows)),
            "explicit_signals": (rng.random(len(rows)) < rates[rows]).astype(int),
        }
    )


def found_in(file):
    found = raters(file, CATALOG, "rated_share", DAYS)
    assert found is not None
    return found, {(rate.slice, rate.value): rate for rate in found.slices}


def test_a_slice_has_the_rate_and_the_interval_of_its_rows_summed_by_user(tmp_path):
    frame = product(np.random.default_rng(1), spread=0.3)
    found, slices = found_in(warehouse(tmp_path / "w.duckdb", frame))
    for rows, rate in ((frame, found.overall), (frame[frame.device == "mobile"], slices["device", "mobile"])):
        zeros = np.zeros(len(rows), dtype=np.int64)
        rated = rows.explicit_signals.to_numpy(dtype=float)
        wanted = estimate_rates(moments_from_rows(zeros, zeros, rows.user_key.to_numpy(), rated))
        assert isinstance(rate.rate, Estimate)
        got = (rate.n, rate.rate.value, rate.rate.low, rate.rate.high)
        assert got == pytest.approx((len(rows), wanted.value[0], wanted.low[0], wanted.high[0]))


def test_new_users_who_rate_less_are_told_apart_and_towns_that_do_not_differ_are_not(tmp_path):
    """Of 28 pairs of towns one would be apart by chance at 95 % each."""
    frame = product(np.random.default_rng(2), users=3000)
    frame["location"] = np.random.default_rng(3).choice([f"town {number}" for number in range(8)], len(frame))
    found, _ = found_in(warehouse(tmp_path / "w.duckdb", frame))
    assert [(least.slice, least.value, most.value) for least, most in found.apart] == [("new_user", "true", "false")]


def test_few_answers_have_no_rate_and_few_ratings_an_honest_one(tmp_path):
    frame = product(np.random.default_rng(3), users=60)
    frame.loc[frame.index[:8], "language"] = "fi"
    frame.loc[frame.index[8:], "language"] = "en"
    found, slices = found_in(warehouse(tmp_path / "w.duckdb", frame))
    assert isinstance(slices["language", "fi"].rate, NotEnough)
    assert isinstance(slices["language", "en"].rate, Estimate)
    assert not [pair for pair in found.apart if pair[0].slice == "language"]


def test_of_a_column_with_many_values_those_with_most_answers_are_shown(tmp_path):
    frame = product(np.random.default_rng(4), users=300)
    frame["location"] = [f"town {number % 30 if number % 2 else 0}" for number in range(len(frame))]
    _, slices = found_in(warehouse(tmp_path / "w.duckdb", frame))
    towns = [value for name, value in slices if name == "location"]
    assert len(towns) == MOST_VALUES
    assert towns[0] == "town 0"


def test_without_answers_there_is_nothing_to_say(tmp_path):
    file = warehouse(tmp_path / "w.duckdb", product(np.random.default_rng(5)))
    assert raters(file, CATALOG, "rated_share", [date(2020, 1, 1)]) is None


def test_a_metric_of_a_judge_is_refused(tmp_path):
    with pytest.raises(ValueError, match="good_answers must be a rate without a judge"):
        raters(tmp_path / "none.duckdb", CATALOG, "good_answers", DAYS)


@pytest.mark.slow
def test_slices_that_do_not_differ_are_called_apart_in_one_of_twenty_weeks_at_most(tmp_path):
    """400 weeks, users who differ among each other: 5 % and three standard errors of the simulation."""
    rng = np.random.default_rng(6)
    weeks = 400
    false = 0
    for week in range(weeks):
        frame = product(rng, users=800, new=0.05, known=0.05, spread=0.2)
        found, _ = found_in(warehouse(tmp_path / f"{week}.duckdb", frame))
        (tmp_path / f"{week}.duckdb").unlink()
        false += bool(found.apart)
    assert false / weeks <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / weeks)
