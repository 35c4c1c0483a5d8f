"""What followed a deploy: looks, made once, beside the version before; findings that become alerts."""

import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from onlineeval_dagster.alerts.blame import attribute
from onlineeval_dagster.alerts.deploy_evidence import Planned, between_windows, compare, plan_looks
from onlineeval_dagster.alerts.deploy_findings import LASTS, find_after_deploys
from onlineeval_dagster.alerts.deploy_looks import PATIENCE, look_at_deploys, read_looks
from onlineeval_dagster.alerts.deploy_rows import Counted, began, count
from onlineeval_dagster.alerts.deploys import read_deploys
from onlineeval_dagster.alerts.stage import evaluate, read_alerts, read_incidents
from onlineeval_dagster.catalog.alert_file import Alerts, Rule
from onlineeval_dagster.contracts.alerts import DeployLook
from onlineeval_dagster.experiments.spending import crossing_chance
from onlineeval_dagster.lake.delta import Lake
from tests.alerts.alert_worlds import CATALOG
from tests.alerts.deploy_worlds import BEGAN, DEPLOYED, World, facts, lake_with, write_facts

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
RULES = {
    "good": {"kind": "relative", "metric": "good_answers", "limit": 0.02, "wait_minutes": 5},
    "slow": {"kind": "relative", "metric": "latency", "limit": 0.1, "wait_minutes": 5},
    "fail": {"kind": "absolute", "metric": "errors", "limit": 0.02, "wait_minutes": 5},
}
OVER = BEGAN + 127 * MINUTE
"""The first answer came a moment after BEGAN, and rules wait 5 minutes."""


def catalog(*names: str, **watch):
    rules = {
        name: Rule(**{"title": f"Rule {name}", "owner": "team:a", "after": "deploy", **RULES[name]})
        for name in names or RULES
    }
    return replace(CATALOG, alerts=Alerts(rules=rules, deploy_watch=watch))


ALL = catalog()
SMALL = {"days": 6, "per_hour": 300}
BAD = World(new_good=0.62, new_errors=0.07, **SMALL)


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v2 passes less often and fails more often; it is as fast as v1."""
    return write_facts(tmp_path_factory.mktemp("bad") / "w.duckdb", facts(BAD))


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v2 meets a third of the traffic; just then everything became slow, v1 as well."""
    world = World(share=0.33, new_good=0.5, judged=0.5, slower=0.0, **SMALL)
    table = facts(world)
    late = np.array(table.column("occurred_at").to_pylist()) >= BEGAN
    latency = table.column("latency_ms").to_numpy() * np.where(late, 1.5, 1)
    table = table.set_column(table.schema.get_field_index("latency_ms"), "latency_ms", [latency])
    return write_facts(tmp_path_factory.mktemp("canary") / "w.duckdb", table)


def last_looks(lake: Lake) -> dict[str, DeployLook]:
    return {one.rule: one for one in read_looks(lake) if one.look_minutes == 120}


def test_a_worse_version_is_found_and_what_did_not_change_is_not_blamed(bad, tmp_path):
    lake = lake_with(tmp_path, {"deploy_id": "d1"})
    done = look_at_deploys(bad, lake, ALL, now=OVER)
    assert len(done.looks) == 12 and done.days == (DEPLOYED.date(),)
    last = last_looks(lake)
    assert {name: look.beyond for name, look in last.items()} == {"good": True, "slow": False, "fail": True}
    good = last["good"]
    assert (good.compared, good.before, good.version) == ("before", "prompt_version v1", "prompt_version v2")
    assert good.low < good.value - good.expected < good.high < 0 and good.change == pytest.approx(
        0.22, abs=0.11
    )  # three standard errors
    assert "120 minutes after deploy d1" in good.told and good.windows >= 6


def test_each_look_is_made_when_it_is_due_counts_what_came_by_then_and_is_never_made_again(bad, tmp_path):
    lake, one = lake_with(tmp_path, {"deploy_id": "d1"}), catalog("slow")
    assert look_at_deploys(bad, lake, one, now=BEGAN + 19 * MINUTE).looks == ()
    (first,) = look_at_deploys(bad, lake, one, now=BEGAN + 21 * MINUTE).looks
    assert first.look_minutes == 15 and BEGAN <= first.began_at < BEGAN + MINUTE
    assert first.n == pytest.approx(75, abs=30)
    assert look_at_deploys(bad, lake, one, now=BEGAN + 22 * MINUTE) == look_at_deploys(bad, lake, one, now=BEGAN)
    rest = look_at_deploys(bad, lake, one, now=OVER).looks
    assert [look.look_minutes for look in rest] == [30, 60, 120] and rest[-1].n == pytest.approx(600, abs=120)
    assert read_looks(lake)[0] == first
    assert len({(look.rule, look.look_minutes) for look in read_looks(lake)}) == 4


def test_the_sums_are_those_of_a_loop_over_the_answers(bad, tmp_path):
    (deploy,) = read_deploys(lake_with(tmp_path, {"deploy_id": "d1"}), ["production"], now=OVER)
    watch = began(bad, deploy, first_look=15 * MINUTE, now=OVER)
    assert watch is not None and watch.former == {"prompt_version": "v1"} and not watch.concurrent
    counted = count(bad, CATALOG, watch, "latency", until=watch.began_at + 60 * MINUTE)
    sums: dict[int, float] = {}
    for row in facts(BAD).select(["occurred_at", "prompt_version", "latency_ms"]).to_pylist():
        window = window_of(row["occurred_at"], row["prompt_version"] == "v2", watch.began_at)
        if window is not None:
            sums[window] = sums.get(window, 0.0) + row["latency_ms"]
    found = {int(one): counted.columns["total"][counted.window == one].sum() for one in np.unique(counted.window)}
    assert found == pytest.approx(sums)


def window_of(at: datetime, is_new: bool, began_at: datetime) -> int | None:
    if is_new:
        return 0 if began_at <= at < began_at + HOUR else None
    if began_at - 3 * HOUR <= at < began_at:
        return 1
    for day in range(1, 29):
        begin = began_at - HOUR - timedelta(days=day)
        if begin <= at < begin + 4 * HOUR:
            return 1 + day
    return None


def test_versions_that_answer_at_once_are_compared_at_the_same_time(canary, tmp_path):
    for name, deploy in (("told", {"traffic_share": 0.33}), ("seen", {})):
        lake = lake_with(tmp_path / name, {"deploy_id": "d1", **deploy})
        look_at_deploys(canary, lake, ALL, now=OVER)
        last = last_looks(lake)
        assert {look.compared for look in last.values()} == {"concurrent"}
        assert last["good"].beyond and not last["slow"].beyond, "v1 became as slow as v2"


def test_a_release_that_names_no_version_is_compared_with_what_came_before_it(bad, tmp_path):
    lake = lake_with(tmp_path, {"deploy_id": "d1", "code": True, "occurred_at": BEGAN})
    look_at_deploys(bad, lake, ALL, now=OVER)
    last = last_looks(lake)
    assert last["good"].beyond and (last["good"].version, last["good"].before) == (
        *("everything", "everything, before the deploy"),
    )


def test_a_version_that_was_there_already_is_compared_with_itself_before(bad, tmp_path):
    lake = lake_with(tmp_path, {"deploy_id": "d1", "model": "m1", "occurred_at": BEGAN})
    look_at_deploys(bad, lake, catalog("fail"), now=OVER)
    assert last_looks(lake)["fail"].beyond and last_looks(lake)["fail"].before == "model m1, before the deploy"


@pytest.mark.parametrize(
    ("deploys", "now", "words"),
    [
        ([{"deploy_id": "d1", "prompt_version": "v9"}], DEPLOYED + 24 * HOUR, "answered nothing within 24 hours"),
        ([{"deploy_id": "d1", "code": True, "traffic_share": 0.2}], OVER, "names no version of its own"),
        (
            [{"deploy_id": "d1"}, {"deploy_id": "d2", "occurred_at": BEGAN + 70 * MINUTE, "prompt_version": "v3"}],
            OVER,
            "another deploy took its place",
        ),
        (
            [{"deploy_id": "d1", "prompt_version": "v1", "occurred_at": BEGAN - 145 * HOUR}],
            OVER - 144 * HOUR,
            "nothing answered before the deploy",
        ),
    ],
)
def test_what_cannot_be_told_is_a_row_that_says_why(bad, tmp_path, deploys, now, words):
    lake = lake_with(tmp_path, *deploys)
    look_at_deploys(bad, lake, catalog("slow"), now=now)
    told = {look.look_minutes: look for look in read_looks(lake) if look.deploy_id == "d1"}
    assert words in told[120].reason and told[120].beyond is None and told[120].value is None


def test_too_few_answers_are_said_so(tmp_path):
    file = write_facts(tmp_path / "w.duckdb", facts(World(days=4, per_hour=20)))
    lake = lake_with(tmp_path, {"deploy_id": "d1"})
    look_at_deploys(file, lake, catalog("good"), now=OVER + HOUR)  # the first answer comes minutes after the deploy
    assert {look.beyond for look in read_looks(lake)} == {None}
    assert last_looks(lake)["good"].reason.startswith("new version: too few judged responses")


def test_a_look_waits_for_verdicts_and_then_says_that_they_are_missing(tmp_path):
    file = write_facts(tmp_path / "w.duckdb", facts(World(pending=0.5, **SMALL)))
    lake, one = lake_with(tmp_path, {"deploy_id": "d1"}), catalog("good", looks=(60,))
    assert look_at_deploys(file, lake, one, now=BEGAN + 65 * MINUTE).looks == ()
    (look,) = look_at_deploys(file, lake, one, now=BEGAN + 66 * MINUTE + PATIENCE).looks
    assert "chosen for a check have none yet" in look.reason


def test_a_look_waits_for_answers_that_are_still_under_way(bad, tmp_path):
    behind = tmp_path / "w.duckdb"
    early = [at < BEGAN + 50 * MINUTE for at in facts(BAD).column("occurred_at").to_pylist()]
    write_facts(behind, facts(BAD).filter(early))
    lake, one = lake_with(tmp_path, {"deploy_id": "d1"}), catalog("slow", looks=(60,))
    assert look_at_deploys(behind, lake, one, now=BEGAN + 70 * MINUTE).looks == ()
    (look,) = look_at_deploys(bad, lake, one, now=BEGAN + 71 * MINUTE).looks
    assert look.n == pytest.approx(300, abs=70)


def test_a_broken_rule_is_an_alert_of_its_deploy_until_another_one_takes_its_place(bad, tmp_path):
    lake, one = lake_with(tmp_path, {"deploy_id": "d1"}), catalog("good")
    look_at_deploys(bad, lake, one, now=OVER)
    for _ in range(2):
        evaluate(lake, one, now=OVER)
    (alert,), (incident,) = read_alerts(lake), read_incidents(lake)
    assert (alert.slice, alert.slice_value, alert.grain, alert.state) == ("deploy", "d1", "deploy", "firing")
    assert incident.title == "Rule good (deploy d1)" and incident.state == "open"
    back = OVER + HOUR
    rows = lake_with(tmp_path / "again", {"deploy_id": "d1"}, {"deploy_id": "d2", "occurred_at": back})
    shutil.rmtree(lake.folder / "deploys")
    shutil.copytree(rows.folder / "deploys", lake.folder / "deploys")
    evaluate(lake, one, now=back)
    assert [(alert.state, alert.ending) for alert in read_alerts(lake)] == [
        ("resolved", "another deploy took its place")
    ]


def test_a_finding_is_over_after_a_day_and_that_of_an_old_deploy_is_no_news(bad, tmp_path):
    lake, one = lake_with(tmp_path, {"deploy_id": "d1"}), catalog("good")
    look_at_deploys(bad, lake, one, now=OVER + 30 * HOUR)
    assert evaluate(lake, one, now=OVER + 30 * HOUR).alerts == ()
    (found,) = find_after_deploys(lake, one, now=OVER + 30 * HOUR)
    assert found.ended_at - found.last_window == LASTS + 5 * MINUTE


def test_a_rule_that_is_off_and_an_old_import_open_no_watch(bad, tmp_path):
    off = ALL.alerts.rules["slow"].model_copy(update={"status": "off"})
    quiet = replace(CATALOG, alerts=Alerts(rules={"slow": off}))
    assert look_at_deploys(bad, lake_with(tmp_path / "a", {"deploy_id": "d1"}), quiet, now=OVER).looks == ()
    assert look_at_deploys(bad, lake_with(tmp_path / "b", {"deploy_id": "d1"}), ALL, now=OVER + 48 * HOUR).looks == ()


def test_the_chances_of_all_rules_and_looks_add_up_to_what_a_deploy_may_cost():
    plans = [plan_looks(CATALOG.alerts, rule) for rule in CATALOG.alerts.after_deploys.values()]
    total = sum(look.chance for plan in plans for look in plan.values())
    assert total == pytest.approx(CATALOG.alerts.deploy_watch.false_alarms, rel=0.01)
    fractions = [minutes / 120 for minutes in plans[0]]
    assert crossing_chance(fractions, [one.bound for one in plans[0].values()]) / 2 == pytest.approx(
        0.01 * 2 / 10, rel=0.01
    )


def windows(means: list[float], *, answers: int = 400, spread: float = 0.1) -> Counted:
    """Windows of a metric that is a mean, one user an answer; the first is the new version."""
    rng = np.random.default_rng(4)
    values = np.concatenate([mean + spread * rng.standard_normal(answers) for mean in means])
    one = np.ones(len(values))
    columns = {"size": one, "judged": one, "total": values, "squares": values**2, "lost": 0 * one}
    window = np.repeat(np.arange(len(means)), answers)
    return Counted(window=window, stratum=np.full(len(values), "all"), user=np.arange(len(values)), columns=columns)


def test_days_that_differ_anyway_condemn_nobody():
    rule, asked = ALL.alerts.rules["slow"], Planned(bound=3.0, chance=1e-3)
    alike = compare(windows([1.15, *[1.0] * 14]), rule, "up", ("mean", None), asked, concurrent=False)
    assert alike.beyond
    days = [1.0 + 0.1 * (-1) ** day for day in range(14)]
    uneven = windows([1.15, *days])
    variance, counted = between_windows(uneven.windows_before(), ("mean", None))
    assert np.sqrt(variance) == pytest.approx(0.1, rel=0.1) and counted == 14
    assert not compare(uneven, rule, "up", ("mean", None), asked, concurrent=False).beyond
    assert compare(uneven, rule, "up", ("mean", None), asked, concurrent=True).beyond


def test_a_relative_rule_takes_both_an_excluded_null_and_an_estimate_beyond_the_limit():
    rule, asked = ALL.alerts.rules["slow"], Planned(bound=3.0, chance=1e-3)
    clear = compare(windows([1.05, *[1.0] * 14]), rule, "up", ("mean", None), asked, concurrent=False)
    assert clear.strength > 1 and clear.change == pytest.approx(0.05, abs=0.01) and not clear.beyond
    vague = windows([1.3, *[1.0] * 14], answers=40, spread=1.0)
    unclear = compare(vague, rule, "up", ("mean", None), asked, concurrent=False)
    assert unclear.change > 0.1 and unclear.strength < 1 and not unclear.beyond


def test_an_absolute_rule_blames_no_deploy_for_what_was_so_before(tmp_path):
    world = World(errors=0.07, new_errors=0.07, **SMALL)
    file = write_facts(tmp_path / "w.duckdb", facts(world))
    lake = lake_with(tmp_path, {"deploy_id": "d1"})
    look_at_deploys(file, lake, catalog("fail"), now=OVER)
    last = last_looks(lake)["fail"]
    assert last.change > 1 and not last.beyond


def test_a_condemned_deploy_is_the_cause_of_its_own_incident(bad, tmp_path):
    lake, only = lake_with(tmp_path, {"deploy_id": "d1"}), catalog("good")
    look_at_deploys(bad, lake, only, now=OVER)
    evaluate(lake, only, now=OVER)
    done = attribute(bad, lake, only, read_incidents(lake), read_alerts(lake), now=OVER)
    (cause,) = done.causes
    assert (cause.kind, cause.name, cause.verdict, cause.rank) == ("deploy", "d1", "named", 1)
    assert cause.high < 0 and cause.difference == pytest.approx(cause.after - cause.before)
    assert cause.told == [look for look in read_looks(lake) if look.beyond][-1].told
    again = attribute(bad, lake, only, read_incidents(lake), read_alerts(lake), now=OVER)
    assert again.days == () and again.causes == done.causes
