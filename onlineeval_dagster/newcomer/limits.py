"""What a log file can measure and what it cannot, and what to add so that it could."""

from onlineeval_dagster.newcomer.survey import Survey

_SOME = 0.9
"""Below this share of the answers a field is said to be missing in the others."""


def can(found: Survey) -> list[str]:
    """What the numbers of this file will hold, one line each."""
    lines = ["the quality of answers as an AI reviewer sees it, refusals and empty answers"]
    if found.failed:
        lines.append(f"failed answers: {found.failed:,} of {found.answers:,}")
    if found.having["latency_ms"]:
        lines.append("time to answer")
    if found.having["cost_usd"]:
        lines.append("cost of an answer")
    if found.opinions:
        lines.append(f"what users say of answers: {found.opinions:,} ratings and thumbs")
    if implicit := found.actions.total() - found.opinions:
        lines.append(f"what users do with answers: {implicit:,} actions")
    if found.having["user_id"]:
        lines.append("returning users, and intervals that know that one user's answers are alike")
    if found.having["prompt_version"] or found.having["variant"] or found.deploys:
        lines.append("the effect of a deploy")
    return lines


def cannot(found: Survey) -> list[str]:
    """What is missing, what follows from that, and the field that would mend it."""
    lines = []
    if gap := _gap(found, "user_id"):
        lines.append(
            f"{gap} user id: intervals go by answer, too narrow where one person asks much, and returning users are "
            "not seen. Field: user_id"
        )
    if gap := _gap(found, "session_id"):
        lines.append(
            f"{gap} session: what belongs to one conversation is guessed from the time a user was idle"
            f"{'' if found.having['user_id'] else ', and without user ids not even that'}. Field: session_id"
        )
    if not found.having["prompt_version"] and not found.having["variant"] and not found.deploys:
        lines.append("no version: deploys cannot be found or blamed. Field: prompt_version, or track_deploy of the SDK")
    if not found.opinions:
        lines.append(
            "no ratings: no explicit signals, users are not heard. Field: rating or thumbs, or track_user_action"
        )
    if not found.actions.total() - found.opinions:
        lines.append("no user actions: copying, asking again and leaving are not seen. SDK: track_user_action")
    if not found.having["context"]:
        lines.append("no context: nobody can say whether an answer rests on what was looked up. Field: context")
    if not found.having["latency_ms"]:
        lines.append("no latency: time to answer is not measured. Field: latency_ms")
    return lines


def _gap(found: Survey, name: str) -> str:
    share = found.share(name)
    return "no" if share == 0 else f"{100 * (1 - share):.0f} % of answers without" if share < _SOME else ""
