"""Deploys under watch: the version that each brought, the one before it, and when answers of the new one began."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from onlineeval_dagster.contracts.estimates import SLICES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import first_rows, rows

FOLLOWED = timedelta(days=2)
"""Deploys older than this open no watch: an import of old logs judges nobody."""
EVERYTHING = "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A deploy. `names`: the columns of an answer that it names, with their values; none for a release of code.

    previous_at, replaced_at  the deploys of the same kind before and after it, in its app and environment
    """

    deploy_id: str
    deployed_at: datetime
    app: str
    environment: str
    names: Mapping[str, str]
    traffic_share: float
    previous_at: datetime | None = None
    replaced_at: datetime | None = None

    @property
    def version(self) -> str:
        """`prompt_version v2`; `everything` where it names nothing."""
        return version_text(self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A deploy whose first answer came.

    former      the version that answered most before it, by the columns that the deploy names; None where there is none
    concurrent  whether both versions answer at once, so that they are compared at the same time
    """

    deploy: Deployed
    began_at: datetime
    former: Mapping[str, str | None] | None
    concurrent: bool

    @property
    def is_same(self) -> bool:
        """The deploy names no version that was not there before: what came before it in time is the one before."""
        return self.former is not None and dict(self.former) == dict(self.deploy.names)


def version_text(names: Mapping[str, str | None]) -> str:
    """A version in words."""
    return ", ".join(f"{name} {value if value is not None else 'none'}" for name, value in names.items()) or EVERYTHING


def read_deploys(lake: Lake, environments: Collection[str], *, now: datetime) -> list[Deployed]:
    """The deploys of the last two days by `now`, oldest first, each with its neighbours."""
    if not {day for day in lake.days("deploys") if day >= (now - FOLLOWED).date()}:
        return []
    found = rows(lake, f"{first_rows('deploys')} order by occurred_at, deploy_id", {"deploys": None}).to_pylist()
    known = [_deployed(row) for row in found if row["environment"] in environments]
    return with_neighbours(known, since=now - FOLLOWED, until=now)


def replacements(lake: Lake) -> dict[str, datetime]:
    """When another deploy took the place of each that is no longer in force, by its id."""
    found = rows(lake, f"{first_rows('deploys')} order by occurred_at, deploy_id", {"deploys": None}).to_pylist()
    known = [_deployed(row) for row in found]
    every = with_neighbours(known, since=datetime.min.replace(tzinfo=UTC), until=datetime.max.replace(tzinfo=UTC))
    return {one.deploy_id: one.replaced_at for one in every if one.replaced_at is not None}


def _deployed(row: Mapping[str, Any]) -> Deployed:
    return Deployed(
        deploy_id=row["deploy_id"],
        deployed_at=row["occurred_at"],
        app=row["app"],
        environment=row["environment"],
        names={name: row[name] for name in SLICES if row[name] is not None},
        traffic_share=row["traffic_share"],
    )


def with_neighbours(known: Sequence[Deployed], *, since: datetime, until: datetime) -> list[Deployed]:
    """Those of `known`, in order of time, between two times; each with the one before and after of its kind."""
    found = []
    for place, one in enumerate(known):
        if not since <= one.deployed_at <= until:
            continue
        before = [other.deployed_at for other in known[:place] if _same_kind(one, other)]
        after = [other.deployed_at for other in known[place + 1 :] if _same_kind(one, other)]
        after = [at for at in after if at > one.deployed_at]
        found.append(replace(one, previous_at=max(before, default=None), replaced_at=min(after, default=None)))
    return found


def _same_kind(one: Deployed, other: Deployed) -> bool:
    """Whether one of two deploys takes the other's place: both change the same column, or one changes everything."""
    here = (one.app, one.environment) == (other.app, other.environment)
    return here and (not one.names or not other.names or bool(one.names.keys() & other.names.keys()))
