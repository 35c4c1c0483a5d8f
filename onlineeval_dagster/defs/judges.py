"""Verdicts: the judges look at what was selected; each reply is in the log before the next call."""

import dagster as dg

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.defs.place import Place, told_plainly
from onlineeval_dagster.defs.rejudging import tell_judged
from onlineeval_dagster.defs.tables import RETRIES, table_spec
from onlineeval_dagster.errors import JudgeError
from onlineeval_dagster.judges.answering import problems
from onlineeval_dagster.judges.client import cause_with, endpoint_of
from onlineeval_dagster.judges.runner import RunSummary
from onlineeval_dagster.judges.stage import Pending, mark_judged, pending_work, run_judges
from onlineeval_dagster.judges.state import JudgeState
from onlineeval_dagster.judges.status import JudgeStatus, judge_status, remembered, tick_days
from onlineeval_dagster.judges.status_shown import status_markdown
from onlineeval_dagster.lake.ingest import ingest as ingest_log
from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.privacy.policy import load_privacy

SPEC = table_spec("verdicts", group="judges", deps=["selections", "responses"])


@dg.multi_asset(specs=[SPEC], retry_policy=RETRIES, pool="judges")
def verdicts(context: dg.AssetExecutionContext, place: Place) -> dg.MaterializeResult:
    """Put every pending selection to its judge, journal the verdicts, and take them into the lake."""
    lake = place.lake()
    with place.stage("judges"):
        catalog = place.catalog()
        pending = pending_work(lake, catalog)
        summaries, refused, accepted = _judge(place, catalog, pending)
        mark_judged(lake, pending)
        # What is judged once more needs its first score, which is in the lake only now.
        if refused is None and any(judge.repeats for judge in catalog.asked_judges) and len(pending.work):
            repeated, refused, more = _judge(place, catalog, pending_work(lake, catalog).again)
            summaries, accepted = summaries + repeated, accepted + more
    tell_judged(context, place, set(pending.work.column("day").to_pylist()))
    for summary in summaries:
        if summary.paused_reason:
            until = f"{summary.paused_until:%Y-%m-%d %H:%M:%S} UTC" if summary.paused_until else "the next run"
            context.log.warning(f"judge {summary.judge} is paused until {until}: {summary.paused_reason}")
    if refused:
        context.log.error(str(refused))
    return dg.MaterializeResult(
        asset_key="verdicts",
        metadata={
            "dagster/row_count": accepted,
            "pending": sum(len(pending.of(judge)) for judge in catalog.asked_judges),
            "judges": dg.MetadataValue.md(_table(summaries)),
            "status": dg.MetadataValue.md(status_markdown(_standing(place))),
            "problem": str(refused) if refused else "none",
        },
    )


def _judge(place: Place, catalog: Catalog, pending: Pending) -> tuple[list[RunSummary], JudgeError | None, int]:
    """Ask for what is pending and take the verdicts in: summaries, why remote judges did not start, rows taken in."""
    settings, lake = place.settings(), place.lake()
    with open_log(settings, door="judges") as log, JudgeState(settings.judge_state_file) as state:
        summaries, refused = run_judges(
            lake,
            catalog,
            pending,
            endpoint=endpoint_of(settings, now=place.now),
            record=lambda said: log.append(b"".join(encode(verdict) for verdict in said)),
            now=place.now,
            state=state,
            redact=load_privacy(settings, catalog).clean_text,
        )
    done = ingest_log(settings, lake, now=place.now())
    return summaries, refused, done.accepted.get("verdicts", 0)


@dg.asset_check(
    asset="verdicts",
    name="judges_answer",
    description="No judge's file is wrong, none is paused, and of the last 100 verdicts of each at most 5 failed.",
)
def judges_answer(place: Place) -> dg.AssetCheckResult:
    """Warn with the judge and the reason; what is over the day's budget is no error."""
    found = _standing(place)
    with told_plainly():
        wrong = [*map(str, place.catalog().broken.values()), *problems(found)]
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN,
        description="\n".join(wrong) or None,
        metadata={"found": "\n".join(wrong) or "all answer", "judges": ", ".join(one.judge.name for one in found)},
    )


def _standing(place: Place) -> list[JudgeStatus]:
    """How the live judges stand, from the days that a tick looks at."""
    settings, lake, now = place.settings(), place.lake(), place.now()
    with told_plainly():
        catalog = place.catalog()
        memory = remembered(
            settings.judge_state_file, catalog.live_judges, today=now.date(), cause=cause_with(settings)
        )
        return judge_status(lake, catalog, memory, now=now, days=tick_days(lake))


def _table(summaries: list[RunSummary]) -> str:
    head = "| judge | version | done | failed | shed | cost, $ | seconds | paused |\n|---|---|---|---|---|---|---|---|"
    lines = [
        f"| {s.judge} | {s.judge_version} | {s.done} | {s.failed} | {s.shed} | {s.cost_usd:.4f} | {s.seconds:.1f} "
        f"| {s.paused_reason or ''} |"
        for s in summaries
    ]
    return "\n".join([head, *lines])


defs = dg.Definitions(assets=[verdicts], asset_checks=[judges_answer])
