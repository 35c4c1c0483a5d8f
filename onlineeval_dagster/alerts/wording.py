"""The evidence of an alert in a sentence, as a person reads it."""

from datetime import datetime
from typing import TYPE_CHECKING

from onlineeval_dagster.catalog.alert_file import MEASURED, Rule
from onlineeval_dagster.catalog.load import Catalog

if TYPE_CHECKING:
    from onlineeval_dagster.alerts.deploy_evidence import Compared
    from onlineeval_dagster.alerts.findings import Finding


def evidence_sentence(found: "Finding", rule: Rule, catalog: Catalog, window: datetime) -> str:
    """`More than 2 % of answers fail: 3.1 % (likely 2.6–3.7 %) on 2026-11-24 from 14:00 UTC, 4,310 answers; …`."""
    unit = "share" if rule.metric in MEASURED[1:] else _unit(rule, catalog)
    where = "" if found.slice == "all" else f" for {found.slice.replace('_', ' ')} {found.slice_value}"
    when = {
        "five_minutes": f"{window:%Y-%m-%d} in the five minutes from {window:%H:%M} UTC",
        "hour": f"{window:%Y-%m-%d} from {window:%H:%M} UTC",
    }.get(found.grain, f"{window:%Y-%m-%d}")
    if rule.kind == "no_data":
        usual = f"{found.expected:,.0f}" if found.expected is not None else "some"
        return f"{rule.title}: none in the hour of {when}, where {usual} are usual."
    said = shown(found.value, unit)
    likely = "" if found.low is None else f" (likely {shown(found.low, unit)} to {shown(found.high, unit)})"
    counted = "" if found.n is None else f", {found.n:,} answers"
    return f"{rule.title}{where}: {said}{likely} on {when}{counted}; {_against(found, rule, unit)}."


def look_sentence(seen: "Compared", rule: Rule, unit: str, deploy: str, minutes: int, before: str | None) -> str:
    """`Fewer good answers than before the deploy: 72.1 % …, 120 minutes after deploy d42, of 1,000 answers; …`."""
    when = f"{minutes} minutes after deploy {deploy} began to answer"
    if seen.reason is not None:
        return f"Not known {when}: {seen.reason}."
    said = f"{shown(seen.value, unit)}, {when}, of {seen.n or 0:,} answers"
    limit = f"; the limit is {shown(rule.limit, unit)}" if rule.kind == "absolute" else ""
    if seen.expected is None or seen.low is None or seen.high is None:
        beside = "; nothing is known of before"
    else:
        likely = f"{_signed(seen.low, unit)} to {_signed(seen.high, unit)}"
        beside = f"; {shown(seen.expected, unit)} with {before}, a difference of likely {likely}"
    title = rule.title if seen.beyond else f"Not so: {rule.title[:1].lower()}{rule.title[1:]}"
    return f"{title}: {said}{limit}{beside}."


def _signed(value: float, unit: str) -> str:
    return f"{'−' if value < 0 else '+'}{shown(abs(value), unit)}"


def _against(found: "Finding", rule: Rule, unit: str) -> str:
    if rule.kind == "absolute":
        return f"the limit is {shown(rule.limit, unit)}"
    if found.expected is None or found.change is None or found.value is None:
        return "nothing was expected yet"
    way = "less" if found.value < found.expected else "more"
    return f"{shown(found.expected, unit)} was expected, {abs(found.value / found.expected - 1):.0%} {way} than that"


def _unit(rule: Rule, catalog: Catalog) -> str:
    known = catalog.metrics.metrics.get(rule.metric)
    return "count" if known is None else known.unit


def shown(value: float | None, unit: str) -> str:
    """A number in its unit.

    >>> shown(0.0312, "share"), shown(1234.5, "ms"), shown(2.314, "score"), shown(None, "share")
    ('3.1 %', '1,234 ms', '2.31', 'unknown')
    """
    if value is None:
        return "unknown"
    if unit == "share":
        return f"{100 * value:.1f} %"
    if unit == "ms":
        return f"{value:,.0f} ms"
    return f"${value:.4g}" if unit == "usd" else f"{value:.2f}" if unit == "score" else f"{value:,.0f}"
