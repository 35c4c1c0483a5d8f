"""From selections in a lake to verdicts in it: what is paid, what is shed, what leaves the machine."""

import shutil
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.judges.client import Endpoint
from onlineeval_dagster.judges.runner import RunSummary
from onlineeval_dagster.judges.stage import mark_judged, pending_work, run_judges
from onlineeval_dagster.judges.state import JudgeState
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.privacy.policy import load_privacy
from onlineeval_dagster.sampling.select import select_responses
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from tests.fake_endpoint import FakeEndpoint, Say, completion, serving
from tests.newcomer.files import REMOTE
from tests.pipeline import table
from tests.worlds import NOON, NOW, answer, lake_of, settings_at

ANSWERS = [answer(n, at=NOON - timedelta(minutes=n), response=f"Write to anna{n}@example.com") for n in range(12)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A catalog that judges everything with the local judge and a remote one, whose cost somebody agreed to."""
    copied = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, copied, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    text = (copied / "sampling.toml").read_text(encoding="utf-8").replace("rate = 0.1", "rate = 1.0")
    agreed = f"\n[budget]\nmonthly_cap_usd = 5\nconfirmed_at = {NOON.isoformat()}\njudge_history = true\n"
    (copied / "sampling.toml").write_text(text + agreed, encoding="utf-8")
    (copied / "judges" / "tone.md").write_text(REMOTE, encoding="utf-8")
    return copied


def one_run(settings: Settings, catalog: Catalog, fake: FakeEndpoint, state: JudgeState) -> list[RunSummary]:
    """Select, judge, journal and take in, as the assets do."""
    lake = Lake(settings.lake_folder)
    select_responses(lake, catalog, now=NOW)
    pending = pending_work(lake, catalog)
    with open_log(settings, door="judges") as log:
        summaries, refused = run_judges(
            lake,
            catalog,
            pending,
            endpoint=lambda judge: Endpoint(base_url=fake.base_url, api_key="k"),
            record=lambda said: log.append(b"".join(encode(verdict) for verdict in said)),
            now=lambda: NOW,
            state=state,
            redact=load_privacy(settings, catalog).clean_text,
        )
    assert refused is None
    ingest(settings, lake, now=NOW)
    mark_judged(lake, pending)
    return summaries


def test_what_is_shed_is_recorded_once_and_never_asked_for_again(tmp_path: Path, folder: Path) -> None:
    (folder / "judges" / "tone.md").write_text(
        REMOTE.replace("[scale]", "daily_budget_usd = 0.0002\nparameters = { max_tokens = 10 }\n\n[scale]"),
        encoding="utf-8",
    )
    settings, catalog = settings_at(tmp_path / "home"), load_catalog(folder)
    lake_of(settings, ANSWERS)
    with serving(lambda number, body: completion('{"score": 3}')) as fake, JudgeState() as state:
        first = next(summary for summary in one_run(settings, catalog, fake, state) if summary.judge == "tone")
        assert 0 < first.done < 12
        assert first.shed == 12 - first.done
        assert len(fake.calls) == first.done
        again = one_run(settings, catalog, fake, state)
        assert [summary.judge for summary in again] == []
        assert len(fake.calls) == first.done
    verdicts = [row for row in table(settings, "verdicts") if row["judge"] == "tone"]
    assert Counter(row["error_kind"] for row in verdicts) == {None: first.done, "shed": first.shed}
    shed = [row for row in verdicts if row["error_kind"] == "shed"]
    assert {row["cost_usd"] for row in shed} == {None}
    assert all("$0.0002" in row["error"] for row in shed)


def test_a_share_of_what_has_its_score_is_judged_once_more_and_once_only(tmp_path: Path, folder: Path) -> None:
    (folder / "judges" / "tone.md").write_text(
        REMOTE.replace("[scale]", "repeat_rate = 0.5\n\n[scale]"), encoding="utf-8"
    )
    settings, catalog = settings_at(tmp_path / "home"), load_catalog(folder)
    lake = lake_of(settings, [answer(n, at=NOON - timedelta(minutes=n)) for n in range(40)])
    numbers = iter(range(10**6))

    def script(number: int, body: dict[str, Any]) -> Say:
        return completion("?" if next(numbers) == 3 else '{"score": 3}')

    with serving(script) as fake, JudgeState() as state:
        one_run(settings, catalog, fake, state)
        assert len(fake.calls) == 40
        again = pending_work(lake, catalog).again.work.to_pylist()
        for _ in range(3):
            one_run(settings, catalog, fake, state)
    said = [row for row in table(settings, "verdicts") if row["judge"] == "tone"]
    twice = {row["response_id"] for row in said if row["replicate"] == 1}
    assert 10 <= len(twice) <= 30, "about half"
    assert {row["response_id"] for row in again} <= twice
    assert {row["inclusion_probability"] for row in said} == {1.0}
    once = Counter(row["response_id"] for row in said if row["replicate"] == 1 and row["score"] is not None)
    assert set(once.values()) == {1}
    assert len(fake.calls) == 40 + len(twice) + 1, "each once more, and the one that could not be read"
    assert {row["replicate"] for row in table(settings, "verdicts") if row["judge"] == "relevance"} == {0}


def test_texts_are_redacted_again_before_they_leave(tmp_path: Path, folder: Path) -> None:
    """What came in before redaction was on, or by a product's own log, still stands in the lake."""
    settings = settings_at(tmp_path / "home")
    lake_of(settings, ANSWERS)
    assert any("@example.com" in row["response"] for row in table(settings, "responses"))
    with serving(lambda number, body: completion('{"score": 3}')) as fake, JudgeState() as state:
        one_run(settings, load_catalog(folder), fake, state)
    assert len(fake.calls) == 12
    assert "@example.com" not in str(fake.calls)
    assert "[e-mail]" in str(fake.calls)


def test_the_expected_score_is_kept_beside_the_score(tmp_path: Path, folder: Path) -> None:
    settings = settings_at(tmp_path / "home")
    lake_of(settings, ANSWERS)
    told = {"content": [{"token": "3", "logprob": -0.2231435513, "top_logprobs": [{"token": "1", "logprob": -1.6094}]}]}
    with serving(lambda number, body: completion("3", logprobs=told)) as fake, JudgeState() as state:
        one_run(settings, load_catalog(folder), fake, state)
    kept = [row for row in table(settings, "verdicts") if row["judge"] == "tone"]
    assert [row["score"] for row in kept] == [3.0] * 12
    assert kept[0]["expected_score"] == pytest.approx(0.8 * 3 + 0.2 * 1, abs=1e-4)
