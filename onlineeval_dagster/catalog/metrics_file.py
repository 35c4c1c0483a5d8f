"""metrics.toml: the numbers that are followed, and the windows that they are counted in."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from onlineeval_dagster.catalog.clock_file import Clock
from onlineeval_dagster.catalog.entry import Entry, Name
from onlineeval_dagster.contracts.estimates import Grain

Role = Literal["business", "quality", "technical"]


class Metric(Entry):
    """One table of metrics.toml. The expressions are SQL over response_facts.

    quantile      of kind `quantile`, which one: 0.95 is the 95th percentile of the numerator
    role          whom it concerns; technical ones without a judge are followed in rolling windows of minutes as well
    at_new_judge  what becomes of the past when the judge's version changes: `break`, or `rebase` by the measured shift
    correction    how a judged rate is corrected by people: a posterior per judge's `score`, or by `rogan-gladen`
    """

    title: str
    kind: Literal["rate", "mean", "quantile"]
    quantile: float | None = Field(default=None, gt=0, lt=1)
    numerator: str
    denominator: str = "true"
    filter: str = "true"
    judge: str | None = None
    unit: Literal["share", "score", "ms", "usd", "count"]
    direction: Literal["up", "down", "none"]
    role: Role = Field(default="quality", exclude=True)
    # Excluded: it says how points are shown, and makes no other metric.
    at_new_judge: Literal["break", "rebase"] = Field(default="break", exclude=True)
    correction: Literal["score", "rogan-gladen"] = Field(default="score", exclude=True)

    def _unsaid(self) -> set[str]:
        return {"quantile"} if self.quantile is None else set()

    @model_validator(mode="after")
    def _one_quantile(self) -> Self:
        if (self.kind == "quantile") != (self.quantile is not None):
            raise ValueError('kind = "quantile" and quantile go together: quantile = 0.95 is the 95th percentile')
        if self.kind == "quantile" and self.judge is not None:
            raise ValueError(
                'kind = "quantile" is of what every answer has, and an AI reviewer sees a sample; use kind = "mean"'
            )
        return self

    @model_validator(mode="after")
    def _corrected_by_what_passes(self) -> Self:
        wanted = f"{(self.judge or '').replace('-', '_')}_good"
        if self.correction == "rogan-gladen" and (self.kind, self.numerator.strip()) != ("rate", wanted):
            raise ValueError(
                'correction = "rogan-gladen" works for rates of what a judge passes: kind "rate", a judge, and the '
                f"numerator {wanted if self.judge else '<judge>_good'}; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _rebased_by_what_is_measured(self) -> Self:
        if self.at_new_judge == "rebase":
            column = (self.judge or "").replace("-", "_")
            wanted = f"{column}_good" if self.kind == "rate" else f"{column}_score"
            told = (self.numerator.strip(), self.denominator.strip(), self.filter.strip())
            if self.judge is None or told != (wanted, "true", "true"):
                raise ValueError(
                    'at_new_judge = "rebase" works for what versions are compared by: a judge, all answers, and the '
                    f'numerator {wanted if self.judge else "<judge>_good"}; write "break"'
                )
        return self


Profile = Literal["standard", "weekly"]

PROFILES: Mapping[Profile, tuple[Grain, ...]] = {"standard": ("hour", "day", "week"), "weekly": ("day", "week")}
"""Windows of each profile: below 10,000 daily users an hour of few answers says nothing of quality."""


class Windows(Entry):
    """The windows that metrics get points for. Reports are by day, so `day` is always among them.

    rolling  rates and means that are followed in rolling windows of 1 and 5 minutes, an hour and a day as well; those
             of role technical by default, and none in the weekly profile
    """

    grains: tuple[Grain, ...] | None = None
    rolling: tuple[Name, ...] | None = None

    @model_validator(mode="after")
    def _the_day_once(self) -> Self:
        if self.grains is None:
            return self
        if "day" not in self.grains:
            raise ValueError('grains needs "day", which reports are made of; write ["day", "week"]')
        if len(set(self.grains)) < len(self.grains):
            raise ValueError("grains names a window twice")
        return self


class Metrics(Entry):
    """metrics.toml."""

    headline: str
    # Excluded: they say which windows there are and what they are compared with, and are in no metric's version;
    # Catalog.version takes them in.
    profile: Profile = Field(default="standard", exclude=True)
    windows: Windows | None = Field(default=None, exclude=True)
    clock: Clock = Field(default=Clock(), exclude=True)
    metrics: dict[Name, Metric] = Field(min_length=1)

    @property
    def grains(self) -> tuple[Grain, ...]:
        """The windows that get points: those that [windows] names, else the profile's."""
        named = None if self.windows is None else self.windows.grains
        return PROFILES[self.profile] if named is None else named

    @property
    def rolling(self) -> tuple[str, ...]:
        """The metrics that are followed in rolling windows."""
        if self.windows is not None and self.windows.rolling is not None:
            return self.windows.rolling
        technical = ((name, one) for name, one in self.metrics.items() if one.role == "technical")
        fast = (name for name, one in technical if one.judge is None and one.kind != "quantile")
        return tuple(fast) if self.profile == "standard" else ()

    @model_validator(mode="after")
    def _what_can_roll(self) -> Self:
        for name in self.rolling:
            if name not in self.metrics:
                raise ValueError(
                    f"windows.rolling names {name}, which is no metric; there are {', '.join(self.metrics)}"
                )
            if self.metrics[name].kind == "quantile":
                raise ValueError(
                    f"windows.rolling names {name}, which is a quantile: those have points by hour, day and week; name "
                    "the mean of the same"
                )
            if self.metrics[name].judge is not None:
                raise ValueError(
                    f"windows.rolling names {name}, which rests on an AI reviewer's sample, of which a minute has too "
                    "little; leave it out, its hours are followed"
                )
        return self
