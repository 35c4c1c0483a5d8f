"""A new judge version in Dagster: one look back, the past judged again by partition, what was judged shown."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.judges.backfill import judge_to_ask
from onlineeval_dagster.judges.batching import send_batch
from onlineeval_dagster.settings import Settings
from tests.fake_batches import FakeBatches
from tests.fake_endpoint import FakeEndpoint, completion, serving
from tests.judges.judge_worlds import catalog_in, said
from tests.pipeline import definitions, instance_at, living_at, table
from tests.worlds import answer, lake_of, settings_at

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=2)
AGREED = f"\n[budget]\nmonthly_cap_usd = 5\nconfirmed_at = {NOON.isoformat()}\njudge_history = true\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Ten answers on each of two days; an old version of `tone` judged all of them."""
    found = settings_at(tmp_path / "home", catalog=catalog_in(tmp_path / "catalog", agreed=AGREED))
    at = {n: NOON - timedelta(days=n % 2, minutes=n) for n in range(20)}
    lake_of(
        found,
        [
            *(answer(n, at=at[n]) for n in at),
            *(said(n, response_at=at[n], occurred_at=at[n], received_at=at[n]) for n in at),
        ],
        now=datetime.now(UTC),
    )
    return found


def version(settings: Settings) -> str:
    judge = next(judge for judge in load_catalog(settings.catalog).judges if judge.name == "tone")
    return f"tone:{judge.version}"


def there(settings: Settings, base_url: str = "http://127.0.0.1:9/v1") -> Any:
    return living_at(
        settings.home, ONLINEEVAL_CATALOG=str(settings.catalog), OPENAI_BASE_URL=base_url, OPENAI_API_KEY="k"
    )


def look(
    settings: Settings,
    cursor: str | None = None,
    *,
    sensor: str = "new_judge_versions",
    base_url: str = "http://127.0.0.1:9/v1",
) -> Any:
    with there(settings, base_url), instance_at(settings) as instance:
        resources = {"place": definitions().resources["place"]}  # pyright: ignore
        context = dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources)
        return definitions().resolve_sensor_def(sensor).evaluate_tick(context)  # pyright: ignore


def run(settings: Settings, fake: FakeEndpoint, job: str, **more: Any) -> dg.ExecuteInProcessResult:
    with there(settings, fake.base_url), instance_at(settings) as instance:
        return definitions().resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False, **more)


def by_now(settings: Settings) -> Counter[str]:
    rows = table(settings, "verdicts")
    return Counter(str(row["day"]) for row in rows if f"tone:{row['judge_version']}" == version(settings))


def test_a_new_version_asks_for_one_look_back_with_its_price_and_nothing_is_spent_without_a_budget(settings) -> None:
    first = look(settings)
    (asked,) = first.run_requests
    assert asked.tags["onlineeval/judge_version"] == version(settings)
    assert 0 < float(asked.tags["onlineeval/expected_usd"]) < 0.1
    assert [request.partition_keys for request in first.dynamic_partitions_requests] == [[version(settings)]]
    assert look(settings, first.cursor).skip_message == "no verdict and no version is new"
    assert look(settings).run_requests[0].run_key == asked.run_key, "a lost cursor asks for what Dagster knows"
    file = settings.catalog / "sampling.toml"
    file.write_text(file.read_text(encoding="utf-8").replace(AGREED, ""), encoding="utf-8")
    assert look(settings).run_requests == []


def test_the_look_back_that_was_asked_for_judges_and_asks_for_no_more(settings) -> None:
    (asked,) = look(settings).run_requests
    with serving(lambda number, body: completion('{"score": 1}')) as fake:
        assert run(settings, fake, "look_back", run_config=asked.run_config).success
        assert len(fake.calls) == 20
    assert sum(by_now(settings).values()) == 20
    assert look(settings).run_requests == []
    with instance_at(settings) as instance:
        days = instance.get_materialized_partitions(dg.AssetKey("judged_days"))
    told = {f"{NOON.date() - timedelta(days=back)}|{version(settings)}" for back in (0, 1)}
    assert told <= days, "the lineage shows which days the version has judged"


def test_a_backfill_of_one_version_and_day_judges_that_day_alone(settings) -> None:
    day = str(NOON.date())
    with serving(lambda number, body: completion('{"score": 1}')) as fake:
        with instance_at(settings) as instance:
            instance.add_dynamic_partitions("judge_versions", [version(settings), "tone:gone"])
        key = dg.MultiPartitionKey({"day": day, "judge_version": version(settings)})
        done = run(settings, fake, "rejudge", partition_key=key)
        assert done.success
        (event,) = done.asset_materializations_for_node("judged_days")
        assert (event.partition, event.metadata["done"].value) == (f"{day}|{version(settings)}", 10)
        gone = dg.MultiPartitionKey({"day": day, "judge_version": "tone:gone"})
        refused = run(settings, fake, "rejudge", partition_key=gone)
        assert not refused.success
        assert len(fake.calls) == 10
    assert by_now(settings) == {day: 10}


def test_a_batch_that_is_over_is_taken_in_by_a_run_that_the_sensor_asks_for(settings: Settings) -> None:
    desk = FakeBatches()
    with serving(lambda number, body: completion('{"score": 1}'), routes=desk.routes()) as fake:
        with there(settings, fake.base_url) as home:
            catalog = load_catalog(settings.catalog)
            sent = send_batch(home, catalog, judge_to_ask(catalog, "tone"), days=28, limit=200, now=datetime.now(UTC))
        assert sent.answers == 20
        assert look(settings, sensor="batches_over", base_url=fake.base_url).skip_message == "1 batches are under way"
        desk.work()
        (asked,) = look(settings, sensor="batches_over", base_url=fake.base_url).run_requests
        assert asked.run_key == "batch_0 completed"
        assert run(settings, fake, "collect").success
        assert look(settings, sensor="batches_over", base_url=fake.base_url).skip_message == "no batch is open"
    assert sum(by_now(settings).values()) == 20
