"""[deploy_watch] and [rollback] of alerts.toml: how a deploy is looked at, and who is called when it is condemned."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from onlineeval_dagster.catalog.entry import Entry

Minutes = Annotated[int, Field(ge=1, le=1440)]


class DeployWatch(Entry):
    """How rules with `after = "deploy"` look. What is judged meanwhile is said by [watched] of sampling.toml.

    looks          minutes after the first answer of the new version; the last one ends the watch
    false_alarms   chance that a deploy which changed nothing is blamed, over all of its rules and looks together
    spending       how that chance is spread over the looks: `obrien_fleming` keeps it for the last one, so that early
                   ones find disasters only; `pocock` gives early looks more of it, and the last one less
    baseline_days  how far back the version before is looked at, at the same hours
    """

    looks: tuple[Minutes, ...] = Field(default=(15, 30, 60, 120), min_length=1, max_length=12)
    false_alarms: float = Field(default=0.01, gt=0, le=0.2)
    spending: Literal["obrien_fleming", "pocock"] = "obrien_fleming"
    baseline_days: int = Field(default=28, ge=1, le=90)

    @model_validator(mode="after")
    def _one_after_the_other(self) -> Self:
        if list(self.looks) != sorted(set(self.looks)):
            raise ValueError(f"looks are minutes, rising, got {list(self.looks)}; write [15, 30, 60, 120]")
        return self

    @property
    def minutes(self) -> int:
        """How long a watch lasts."""
        return self.looks[-1]


class Rollback(Entry):
    """A signed call to the user's endpoint when an enabled rule condemns a deploy: one for each deploy.

    status            `off`; `dry_run`: written down as it would be called; `on`
    url, secret       as of a webhook channel; `${NAME}` stands for an environment variable
    rules             enabled rules after a deploy that may call; all of them where none is named
    cool_down_minutes after a call, no other one for the same app and environment for so long
    """

    status: Literal["off", "dry_run", "on"] = "off"
    url: str = Field(min_length=3, repr=False)
    secret: str = Field(min_length=1, repr=False)
    rules: tuple[str, ...] = ()
    cool_down_minutes: float = Field(default=60, ge=0, le=10080)

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if not re.match(r"https?://|\$\{", self.url):
            raise ValueError("url begins with https:// or http://, or is an environment variable")
        return self
