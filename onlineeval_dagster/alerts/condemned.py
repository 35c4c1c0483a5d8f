"""Deploys that their watch condemned are the causes of their own incidents: the look is the evidence."""

from collections.abc import Sequence

from onlineeval_dagster.alerts.deploy_findings import SLICE
from onlineeval_dagster.contracts.alerts import Alert, DeployLook, Incident, IncidentCause


def condemned_causes(incident: Incident, alerts: Sequence[Alert], looks: Sequence[DeployLook]) -> list[IncidentCause]:
    """A cause for each deploy that an alert of the incident is about, by the last look of that rule that was beyond."""
    causes: dict[str, IncidentCause] = {}
    for alert in alerts:
        own = [one for one in looks if (one.deploy_id, one.rule) == (alert.slice_value, alert.rule) and one.beyond]
        if alert.slice != SLICE or alert.slice_value in causes or not own:
            continue
        look = own[-1]
        causes[look.deploy_id] = IncidentCause(
            incident_id=incident.incident_id,
            kind="deploy",
            name=look.deploy_id,
            rank=len(causes) + 1,
            verdict="named",
            opened_at=incident.opened_at,
            metric=alert.metric,
            slice=alert.slice,
            slice_value=alert.slice_value,
            occurred_at=look.deployed_at,
            before=look.expected,
            after=look.value,
            difference=None if look.value is None or look.expected is None else look.value - look.expected,
            low=look.low,
            high=look.high,
            told=look.told,
        )
    return list(causes.values())


def beside_condemned(condemned: Sequence[IncidentCause], weighed: Sequence[IncidentCause]) -> list[IncidentCause]:
    """Condemned deploys first, then what else was weighed but for the same deploys, and that none explains it."""
    if not condemned:
        return list(weighed)
    names = {one.name for one in condemned}
    others = [one for one in weighed if one.kind != "unexplained" and not (one.kind == "deploy" and one.name in names)]
    return [one.model_copy(update={"rank": rank}) for rank, one in enumerate([*condemned, *others], start=1)]
