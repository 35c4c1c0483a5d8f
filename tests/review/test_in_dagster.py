"""The asset `review_tasks` with its checks, as a run makes them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from onlineeval_dagster.review.desk import Desk
from tests.pipeline import run_assets, table
from tests.review.task_worlds import label, put, selected
from tests.worlds import answer, lake_of, settings_at

NOW = datetime.now(UTC)
AT = NOW - timedelta(hours=2)


def test_a_run_asks_publishes_and_warns_of_labels_that_the_audit_did_not_draw(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    said = label(2, at=AT)
    lake = lake_of(settings, [*(answer(n, at=AT) for n in range(3)), said], now=NOW)
    drawn = [selected(n, at=AT, state="selected" if n < 2 else "not_selected") for n in range(3)]
    flagged = selected(2, "relevance", at=AT, stratum="flagged", inclusion_probability=1.0)
    put(lake, "selections", [*drawn, flagged])
    done = run_assets(tmp_path, ["review_tasks"])
    assert done.success
    assert {(row["response_id"], row["stream"]) for row in table(settings, "review_tasks")} == {
        ("r0", "audit"),
        ("r1", "audit"),
        ("r2", "targeted"),
    }
    checks = {check.check_name: check for check in done.get_asset_check_evaluations()}
    assert checks["contract"].passed and not checks["audit_is_drawn"].passed
    assert checks["audit_is_drawn"].metadata["of answers it did not draw"].value == 1
    with Desk(settings.review_state_file, settings.review_tasks_file) as desk:
        task = desk.take("ann", now=NOW)
    assert task is not None and task.response == "Your parcel is on its way."
