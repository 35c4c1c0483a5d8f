"""Which responses a judge sees: a stratum, a known chance and a state for every eligible response, written once."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.sampling_file import REVIEW, Sampling
from onlineeval_dagster.lake.commit import Part
from onlineeval_dagster.lake.copied import commit_copied
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.sampling.closing import days_to_close, place_of_closing
from onlineeval_dagster.sampling.decide import Asked, decide
from onlineeval_dagster.sampling.followed import days_with_flags, follow_up
from onlineeval_dagster.sampling.sessions import days_to_end, place_of_ending

_ANSWERS_AT_ONCE = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """What one call decided: rows of the sample, how many of them selected, and the days they lie in.

    targeted  further rows, which late flags opened
    """

    days: tuple[date, ...]
    decided: int
    selected: int
    targeted: int = 0


def select_responses(lake: Lake, catalog: Catalog, *, now: datetime) -> Selected:
    """Decide for every eligible response that has no selection yet, for each judge that may be asked, in one commit.

    The facts known now (flags, deploys) decide; a later flag does not change the row, so that its chance stays true: it
    opens a targeted selection. A plain rate decides at once, a stratum with a size or a floor when its window closes.
    A judge that the lake has never seen decides over all responses; a new version of one goes on with the new ones.
    A judge of sessions decides when they have ended (sampling/sessions.py).
    For a remote judge, answers from before the budget was confirmed are filtered: no money is spent unasked.
    """
    asked = who_is_asked(lake, catalog, now=now)
    days = frozenset[date]().union(*(one.days for one in asked))
    decided = [decide(lake, catalog, asked, group, now=now) for group in _groups(lake, days)]
    followed = follow_up(lake, catalog, policies={one.name: one.policy for one in asked}, now=now)
    parts: list[Part] = [part for some in decided for part in some.parts]
    reads = {_place(one.name): one.changes.version for one in asked if one.changes.version >= 0}
    reads |= place_of_closing(lake, catalog.sampling, now=now) | place_of_ending(lake, catalog, now=now)
    reads |= dict(followed.reads)
    if parts or followed.parts or any(lake.read_through("selections", key) != at for key, at in reads.items()):
        commit_copied(lake, "selections", [*parts, *followed.parts], reads=reads, now=now)
    return Selected(
        days=tuple(sorted({part.day for part in (*parts, *followed.parts)})),
        decided=sum(part.rows for part in parts),
        selected=sum(some.selected for some in decided),
        targeted=sum(part.rows for part in followed.parts),
    )


def something_to_decide(lake: Lake, catalog: Catalog, *, now: datetime) -> bool:
    """Whether `select_responses` would look at any day."""
    if any(one.days for one in who_is_asked(lake, catalog, now=now)):
        return True
    return bool(catalog.asked_judges and days_with_flags(lake, catalog, now=now)[0])


def who_is_asked(lake: Lake, catalog: Catalog, *, now: datetime) -> list[Asked]:
    """The judges that may be asked, then people's review where there is one, each with the days to look at."""
    closing = days_to_close(lake, catalog.sampling, now=now)
    ending = days_to_end(lake, catalog, now=now)

    def one(name: str, axis: str, version: str, policy: str, judge: Judge | None) -> Asked:
        changes = lake.changes("responses", lake.read_through("selections", _place(name)))
        days = changes.days | closing | (ending if judge is not None and judge.is_of_sessions else frozenset())
        return Asked(name=name, axis=axis, version=version, policy=policy, changes=changes, days=days, judge=judge)

    sampling = catalog.sampling
    asked = [one(j.name, j.axis, j.version, policy_version(sampling, j), j) for j in catalog.asked_judges]
    if sampling.review is not None:
        asked.append(one(REVIEW, REVIEW, REVIEW, sampling.version, None))
    return asked


def policy_version(sampling: Sampling, judge: Judge) -> str:
    """Twelve hex digits that change with anything that decides a chance."""
    parts = [sampling.version, judge.name, str(judge.rate), *([sampling.pace.version] if sampling.pace else [])]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


def _place(name: str) -> str:
    return f"responses for {name}"


def _groups(lake: Lake, days: Collection[date]) -> Iterator[frozenset[date]]:
    """Days, so many answers at once: windows lie within days, so that each group can be decided by itself."""
    group, size = set[date](), 0
    for day, count in sorted(lake.rows_by_day("responses", days).items()):
        if group and size + count > _ANSWERS_AT_ONCE:
            yield frozenset(group)
            group, size = set(), 0
        group.add(day)
        size += count
    if group:
        yield frozenset(group)
