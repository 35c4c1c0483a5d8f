"""The list of all tables in the lake: contract, key, owner and what each row means."""

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from onlineeval_dagster.contracts import (
    agreement,
    alerts,
    corrected,
    coverage,
    drift,
    estimates,
    events,
    experiments,
    promotion,
    review,
    rows,
    trials,
    validity,
    versions,
)
from onlineeval_dagster.contracts.arrow import INSTANT, arrow_schema
from onlineeval_dagster.contracts.base import Contract

DAY = pa.field("day", pa.date32(), nullable=False)
PROVENANCE = [
    pa.field("log_segment", pa.string(), nullable=False),
    pa.field("log_offset", pa.int64(), nullable=False),
]
TEXT_ERASED = pa.field("text_erased_at", INSTANT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One Delta table of the lake, partitioned by `day`.

    day_of   which contract field decides the day (the first that is not null)
    key      what identifies a row once duplicates are removed
    marks_erased_text  a text that may not be null is emptied by retention, and `text_erased_at` says when
    """

    name: str
    contract: type[Contract]
    key: tuple[str, ...]
    day_of: tuple[str, ...]
    description: str
    owner: str = "team:evaluation"
    written_by: Literal["ingest", "pipeline"] = "pipeline"
    marks_erased_text: bool = False

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema as stored: the contract's fields, provenance where it came from the log, and the day."""
        provenance = PROVENANCE if self.kind is not None else []
        mark = [TEXT_ERASED] if self.marks_erased_text else []
        return pa.schema([*arrow_schema(self.contract), *provenance, *mark, DAY])

    @property
    def arrived_schema(self) -> pa.Schema:
        """The schema of what arrives: it still has its text."""
        return pa.schema([field for field in self.schema if field != TEXT_ERASED])

    @property
    def kind(self) -> str | None:
        """The log kind this table receives, if any."""
        return next((kind for kind, contract in events.EVENTS.items() if contract is self.contract), None)


def _event_table(
    name: str,
    contract: type[Contract],
    description: str,
    key: tuple[str, ...] = ("event_id",),
    marks_erased_text: bool = False,
) -> Table:
    kind = next(kind for kind, known in events.EVENTS.items() if known is contract)
    return Table(
        name=name,
        contract=contract,
        key=key,
        day_of=events.DAY_OF[kind],
        description=description,
        written_by="ingest",
        marks_erased_text=marks_erased_text,
    )


TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        _event_table(
            "responses",
            events.Response,
            "Every LLM answer served, as it arrived.",
            key=("response_id",),
            marks_erased_text=True,
        ),
        _event_table("actions", events.Action, "Everything users did with the answers, as it arrived."),
        _event_table("deploys", events.Deploy, "Changes put into production, with time and traffic share."),
        _event_table("events", events.Event, "Other things worth knowing: campaigns, outages, page load times."),
        _event_table("exposures", events.Exposure, "Units that met a variant of an experiment, with propensity."),
        _event_table("labels", events.Label, "What people said of responses, on their response's day."),
        _event_table("verdicts", events.Verdict, "What judges said, append-only, on the response's day."),
        _event_table("spans", events.Span, "Steps of traces as OpenTelemetry told them, kept as they came."),
        Table(
            name="quarantine",
            contract=rows.QuarantinedLine,
            key=("log_segment", "log_offset"),
            day_of=("quarantined_at",),
            description="Lines of the log that are not events, with place, reason and text.",
            written_by="ingest",
        ),
        Table(
            name="ingested_parts",
            contract=rows.IngestedPart,
            key=("batch", "log_segment"),
            day_of=("ingested_at",),
            description="What each numbered batch took from each segment; lines = accepted + bad + erased.",
            written_by="ingest",
        ),
        Table(
            name="imports",
            contract=rows.Pull,
            key=("source", "started_at"),
            day_of=("started_at",),
            description="Each reading of a configured source: what came, how far it got, and what went wrong.",
        ),
        Table(
            name="tombstones",
            contract=rows.Tombstone,
            key=("subject", "kind"),
            day_of=("requested_at",),
            description="Whom and what was erased, as salted hashes: ingest refuses what speaks of them.",
        ),
        Table(
            name="trace_states",
            contract=rows.TraceState,
            key=("trace_id",),
            day_of=("first_at",),
            description="What became of each trace: a response, none and why, or still waiting.",
        ),
        Table(
            name="signals",
            contract=rows.Signal,
            key=("response_id", "signal"),
            day_of=("response_at",),
            description="Scored observations about responses: implicit, explicit and automated.",
        ),
        Table(
            name="signal_validity",
            contract=validity.SignalValidity,
            key=("day", "signal", "axis"),
            day_of=("computed_at",),
            description="How well each signal agrees with what people said of the same answers, as measured on a day.",
        ),
        Table(
            name="quality_weights",
            contract=validity.QualityWeight,
            key=("day", "axis", "signal"),
            day_of=("computed_at",),
            description="How much each signal counts in the index of quality, fitted to labels or the catalog's.",
        ),
        Table(
            name="selections",
            contract=rows.Selection,
            key=("response_id", "judge", "judge_version", "stratum"),
            day_of=("response_at",),
            description="For each eligible response and judge: selected or not, stratum and inclusion probability; "
            "`targeted` rows beside them are in no estimate.",
        ),
        Table(
            name="judge_comparisons",
            contract=versions.JudgeComparison,
            key=("day", "judge", "judge_version", "against", "against_version"),
            day_of=("computed_at",),
            description="A judge's version beside another on the answers that both judged: shift, agreement, cost.",
        ),
        Table(
            name="judge_trials",
            contract=trials.JudgeTrial,
            key=("trial_set", "set_version", "item", "judge", "judge_version", "replicate"),
            day_of=("tried_at",),
            description="Judges tried on items with a known answer: injection canaries and other sets. In no estimate.",
        ),
        Table(
            name="judge_reliability",
            contract=trials.JudgeReliability,
            key=("day", "judge", "judge_version"),
            day_of=("computed_at",),
            description="How far a judge can be relied on: orders it obeyed, scores that move when it is asked again.",
        ),
        Table(
            name="coverage",
            contract=coverage.CoverageRow,
            key=("day", "hour", "source"),
            day_of=("day",),
            description="Lines received, ingested, duplicate, quarantined, erased and late, by hour and source.",
        ),
        Table(
            name="metric_points",
            contract=estimates.MetricPoint,
            key=("metric", "judge_version", "grain", "window_start", "slice", "slice_value"),
            day_of=("window_start",),
            description="Each metric by hour, day, week and slice: value with interval, or why there is none.",
        ),
        Table(
            name="detrended_metrics",
            contract=estimates.DetrendedPoint,
            key=(
                *("metric", "judge_version", "grain", "window_start"),
                *("slice", "slice_value", "metric_version"),
            ),
            day_of=("window_start",),
            description="Each metric without its rhythm: what was to be expected, and how far from it the point lies.",
        ),
        Table(
            name="rolling_points",
            contract=estimates.RollingPoint,
            key=("metric", "minutes", "last_minute", "slice", "slice_value"),
            day_of=("last_minute",),
            description="Fast metrics in rolling windows of 1 and 5 minutes, an hour and a day (kept 7 days).",
        ),
        Table(
            name="minute_counts",
            contract=estimates.MinuteCount,
            key=("window_start", "environment", "app", "prompt_version"),
            day_of=("window_start",),
            description="Answers and failed answers by minute, of the last days (retention.toml: 7).",
        ),
        Table(
            name="review_tasks",
            contract=review.ReviewTask,
            key=("response_id", "axis"),
            day_of=("response_at",),
            description="What people are asked to look at: the random audit, and what looks wrong, never mixed.",
        ),
        Table(
            name="gold_answers",
            contract=review.GoldAnswer,
            key=("response_id", "axis"),
            day_of=("response_at",),
            description="Answers whose right score is known: mixed in among people's tasks, put to judges every week.",
        ),
        Table(
            name="reviewer_quality",
            contract=review.ReviewerQuality,
            key=("day", "reviewer", "axis"),
            day_of=("computed_at",),
            description="How each person's labels stand: agreement with others, gold answers, time, with ranges.",
        ),
        Table(
            name="judge_drift",
            contract=drift.JudgeDrift,
            key=("day", "judge", "judge_version"),
            day_of=("computed_at",),
            description="Each judge's latest scores of the frozen gold set beside its first: did it move.",
        ),
        Table(
            name="promotion_evidence",
            contract=promotion.PromotionEvidence,
            key=("day", "judge", "judge_version"),
            day_of=("computed_at",),
            description="Each shadow judge beside the active one: what speaks for its promotion, and what is missing.",
        ),
        Table(
            name="reviewer_agreement",
            contract=agreement.ReviewerAgreement,
            key=("day", "axis", "measure"),
            day_of=("computed_at",),
            description="How far people agree with each other on the same answers of the audit, axis by axis.",
        ),
        Table(
            name="judge_agreement",
            contract=agreement.JudgeAgreement,
            key=("day", "judge", "judge_version", "slice", "slice_value", "measure"),
            day_of=("computed_at",),
            description="How far each judge version agrees with people on the audit, by slice; biases and drift.",
        ),
        Table(
            name="judge_calibration",
            contract=agreement.JudgeCalibration,
            key=("day", "judge", "judge_version", "judge_score"),
            day_of=("computed_at",),
            description="What people say where a judge version gave one of its scores, and the map between the two.",
        ),
        Table(
            name="corrected_points",
            contract=corrected.CorrectedPoint,
            key=("metric", "judge_version", "grain", "as_of", "slice", "slice_value"),
            day_of=("as_of",),
            description="What people would say of all answers: the AI reviewers corrected by labels, with interval.",
        ),
        Table(
            name="deploy_looks",
            contract=alerts.DeployLook,
            key=("deploy_id", "rule", "look_minutes"),
            day_of=("deployed_at",),
            description="What each rule saw of each deploy at each look: the new version beside the one before it.",
        ),
        Table(
            name="alerts",
            contract=alerts.Alert,
            key=("alert_id",),
            day_of=("began_at",),
            description="What the rules of alerts.toml raised, with the evidence, and what became of it.",
        ),
        Table(
            name="incidents",
            contract=alerts.Incident,
            key=("incident_id",),
            day_of=("opened_at",),
            description="Alerts that belong together, from their opening until all of them are over.",
        ),
        Table(
            name="incident_causes",
            contract=alerts.IncidentCause,
            key=("incident_id", "kind", "name"),
            day_of=("opened_at",),
            description="What may be behind each incident: deploys, events, mechanisms or none, with evidence.",
        ),
        Table(
            name="experiment_results",
            contract=experiments.ExperimentResult,
            key=("experiment", "as_of", "variant", "metric", "slice", "slice_value", "said_by"),
            day_of=("as_of",),
            description="What each week of an experiment said: every metric, arm and segment, and the decision.",
        ),
        Table(
            name="deploy_effects",
            contract=estimates.DeployEffect,
            key=("deploy_id", "metric", "judge_version"),
            day_of=("deployed_at",),
            description="Each metric before and after each deploy: the difference with its interval.",
        ),
    )
}
"""The lake's tables by name, in data-flow order."""

TABLE_OF: dict[str, Table] = {table.kind: table for table in TABLES.values() if table.kind is not None}
"""The lake's table for each kind of the log."""
