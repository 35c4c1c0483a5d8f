"""experiments.toml: what is tried on whom, what decides, and when it is looked at. Fixed before the start."""

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from onlineeval_dagster.catalog.assignment import FILE, Assignment, assignments_of
from onlineeval_dagster.catalog.entry import Entry, Name
from onlineeval_dagster.catalog.reading import read_file
from onlineeval_dagster.errors import CatalogError

Segment = Literal["app", "device", "location", "language", "new_user", "model"]
"""Columns of an answer that a unit brings with it; what a variant may change is no segment."""

Design = Literal["hybrid", "fixed", "group_sequential", "always_valid"]
Family = Literal["bh", "by", "holm", "bonferroni"]
Quantile = Annotated[float, Field(ge=0.01, le=0.99)]
Margin = Annotated[float, Field(gt=0, lt=1)]


class Guardrail(Entry):
    """A metric that must not get worse by more than `margin`, a share of the control's value.

    testable  false: traffic cannot prove it, known beforehand; it blocks only where a breach is seen
    """

    margin: Margin = 0.02
    testable: bool = True


class Prior(Entry):
    """What is believed of the relative lift before the data: normal with mean 0 and this standard deviation.

    Eppo's .05 by default: 95 % of all changes move a metric by less than 10 %.

    rates       (a, b) of a Beta prior of each variant's rate: where every unit gave one answer, chances and losses come
                from it
    negligible  a lift within this of nothing makes no practical difference
    """

    sd: float = Field(default=0.05, gt=0, le=1)
    name: str = "sceptical: 19 of 20 changes move it by less than 10 %"
    rates: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None
    negligible: float = Field(default=0.01, ge=0, lt=1)


class Override(Entry):
    """A decision that a person took against the rule, or before it."""

    decision: Literal["ship", "do_not_ship", "keep_running", "stop"]
    reason: str = Field(min_length=10)
    by: str = Field(min_length=1)
    decided_on: date


class Experiment(Entry):
    """One experiment. Metrics are names of metrics.toml.

    variants    shares by name; the first is the control unless `control` says otherwise
    layer, slots  experiments of one layer with slots apart never meet the same unit
    weeks       planned run in whole weeks; `looks`: after which of them the rule may decide, the last one always
    design      `hybrid`: always-valid for stopping harm, one planned look for wins; see docs/experiments.md
    spending    of a group-sequential design, how its looks share alpha
    family      how the p-values of the secondary metrics are adjusted: false discoveries (`bh`; `by` under any
                dependence) or any false one (`holm`, `bonferroni`); they count once the primary won
    quantiles   of these metrics the quantile of answers is compared, not the mean: { latency = 0.95 }
    covariates  metrics measured before a unit's exposure, that adjust for what it brought along
    stratify_by  one of `segments`, within whose values the arms are compared (post-stratification)
    winsorise   quantile at which a unit's value of a `mean` is capped, over all arms together; 1 caps nothing
    decides     the row of a judged metric that decides: the judge's own, or the one that people's labels correct
    needed_units  units an arm below which nothing is compared
    """

    hypothesis: str = Field(min_length=10)
    unit: Literal["user", "session"] = "user"
    variants: dict[Name, float]
    control: Name | None = None
    salt: str | None = Field(default=None, min_length=1)
    layer: Name | None = None
    slots: tuple[float, float] = (0.0, 1.0)
    starts_on: date
    weeks: int = Field(ge=1, le=26)
    looks: tuple[int, ...] = ()
    design: Design = "hybrid"
    spending: Literal["obrien_fleming", "pocock"] = "obrien_fleming"
    alpha: float = Field(default=0.05, gt=0, le=0.2)
    power: float = Field(default=0.8, ge=0.5, lt=1)
    primary: Name
    secondary: tuple[Name, ...] = ()
    family: Family = "bh"
    guardrails: dict[Name, Guardrail] = Field(default_factory=dict)
    quantiles: dict[Name, Quantile] = Field(default_factory=dict)
    covariates: tuple[Name, ...] = ()
    segments: tuple[Segment, ...] = ()
    stratify_by: Segment | None = None
    winsorise: float = Field(default=1.0, gt=0.5, le=1)
    prior: Prior = Prior()
    decides: Literal["judge", "people"] = "judge"
    needed_units: int = Field(default=100, ge=2)
    status: Literal["running", "stopped"] = Field(default="running", exclude=True)
    override: Override | None = Field(default=None, exclude=True)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.control is not None and self.control not in self.variants:
            raise ValueError(f"control is {self.control!r}, which is no variant; choose of {', '.join(self.variants)}")
        if self.starts_on.weekday() != 0 and self.design != "always_valid":
            raise ValueError(
                f"starts_on is {self.starts_on:%A} {self.starts_on}; whole weeks begin on Monday, "
                f"{self.starts_on + timedelta(days=7 - self.starts_on.weekday())}"
            )
        if any(look not in range(1, self.weeks + 1) for look in self.looks) or sorted(set(self.looks)) != [*self.looks]:
            raise ValueError(f"looks are weeks 1 to {self.weeks}, rising; got {list(self.looks)}")
        if self.looks and self.looks[-1] != self.weeks:
            raise ValueError(f"looks end before the experiment; add {self.weeks}, the last week")
        if self.stratify_by is not None and self.stratify_by not in self.segments:
            raise ValueError(
                f"stratify_by is {self.stratify_by!r}, which is not counted by; add it to segments, of which there are "
                f"{', '.join(self.segments) or 'none'}"
            )
        roles = [self.primary, *self.secondary, *self.guardrails]
        if strange := next((name for name in self.quantiles if name not in roles), None):
            raise ValueError(f"quantiles names {strange}, which has no role; make it primary, secondary or a guardrail")
        if twice := next((name for name in roles if roles.count(name) > 1), None):
            raise ValueError(f"{twice} has two roles; a metric is the primary, secondary or a guardrail")
        return self

    @property
    def control_name(self) -> str:
        return self.control or next(iter(self.variants))

    @property
    def treatments(self) -> tuple[str, ...]:
        """The variants that are compared with the control, in the order of the file."""
        return tuple(name for name in self.variants if name != self.control_name)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric with a role, the primary first."""
        return (self.primary, *self.secondary, *self.guardrails)

    @property
    def planned_looks(self) -> tuple[int, ...]:
        """Weeks after which the rule may decide: the last one alone, unless `looks` says more."""
        return self.looks or (self.weeks,)

    @property
    def ends_on(self) -> date:
        """The day after the last planned one."""
        return self.starts_on + timedelta(weeks=self.weeks)


class Experiments(Entry):
    """experiments.toml. A catalog without the file has none."""

    experiments: dict[Name, Experiment] = Field(default_factory=dict)

    @property
    def assignments(self) -> Mapping[str, Assignment]:
        """What decides who meets what, as SDK and collector read it from the same file. Raises CatalogError."""
        tables: dict[str, Any] = {
            name: {**one.model_dump(exclude_none=True), "status": one.status} for name, one in self.experiments.items()
        }
        return assignments_of({"experiments": tables})


def load_experiments(folder: Path, metrics: Mapping[str, Any]) -> Experiments:
    """The folder's experiments, checked against the names of its metrics. Raises CatalogError."""
    file = folder / FILE
    if not file.exists():
        return Experiments()
    found = read_file(file, Experiments)
    _ = found.assignments
    for name, one in found.experiments.items():
        for role in (*one.metrics, *one.covariates):
            if role not in metrics:
                raise CatalogError(
                    f"{FILE}: experiments.{name} names the metric {role!r}, which is not in metrics.toml; "
                    f"there are {', '.join(metrics)}"
                )
            if metrics[role].kind == "quantile":
                raise CatalogError(
                    f"{FILE}: experiments.{name} names the metric {role!r}, which is a quantile of all answers; name "
                    f"the mean of the same, and that mean in quantiles = {{ ... = {metrics[role].quantile:g} }}"
                )
        _check_directions(name, one, metrics)
        _check_quantiles(name, one, metrics)
    return found


def _check_directions(name: str, one: Experiment, metrics: Mapping[str, Any]) -> None:
    for role in (one.primary, *one.guardrails):
        if metrics[role].direction == "none":
            raise CatalogError(
                f"{FILE}: experiments.{name} decides on {role!r}, which has no better direction in metrics.toml; "
                'give it direction = "up" or "down", or make it secondary'
            )


def _check_quantiles(name: str, one: Experiment, metrics: Mapping[str, Any]) -> None:
    for role in one.quantiles:
        if metrics[role].kind != "mean" or metrics[role].judge is not None:
            what = "an AI reviewer's" if metrics[role].judge is not None else "a rate"
            raise CatalogError(
                f"{FILE}: experiments.{name}.quantiles names {role!r}, which is {what}; quantiles are of metrics with "
                f'kind = "mean" and no judge, such as latency; leave {role} out'
            )
