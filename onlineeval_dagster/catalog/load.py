"""The catalog folder as one frozen value. Read at each tick, so that an edit needs no restart."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from onlineeval_dagster.catalog.clock_file import Clock
from onlineeval_dagster.catalog.entry import Entry, Name
from onlineeval_dagster.catalog.experiment_file import Experiments, load_experiments
from onlineeval_dagster.catalog.gold_file import GoldItem, check_gold, load_gold
from onlineeval_dagster.catalog.judge_file import PLACEHOLDER, Judge
from onlineeval_dagster.catalog.judge_reading import load_judges
from onlineeval_dagster.catalog.privacy_file import PrivacyFile
from onlineeval_dagster.catalog.promotion_file import Promotion, load_promotion
from onlineeval_dagster.catalog.reading import read_file
from onlineeval_dagster.catalog.retention import Retention, load_retention
from onlineeval_dagster.catalog.sampling_file import REVIEW, Sampling
from onlineeval_dagster.catalog.source_file import Source
from onlineeval_dagster.contracts.estimates import Grain
from onlineeval_dagster.errors import CatalogError


class ActionScore(Entry):
    """What one action says of an answer: a fixed `score` in [-1, 1], or the action's value mapped from `range`.

    unscored   it is kept and counted, and says neither good nor bad: a comment
    opinion    actions of one opinion replace each other, the last one counts: thumbs_up and thumbs_down
    withdraws  it takes the opinion back
    """

    kind: Literal["implicit", "explicit"]
    score: float | None = Field(default=None, ge=-1, le=1)
    range: tuple[float, float] | None = None
    unscored: bool = False
    opinion: Name | None = None
    withdraws: bool = False
    flag: bool = False

    @model_validator(mode="after")
    def _one_way_to_score(self) -> Self:
        ways = (self.score is not None) + (self.range is not None) + self.unscored + self.withdraws
        if ways != 1:
            raise ValueError("needs one of score, range, unscored = true and withdraws = true")
        if self.withdraws and self.opinion is None:
            raise ValueError("withdraws needs the opinion that it takes back")
        if self.range is not None and self.range[0] == self.range[1]:
            raise ValueError("range needs two different ends")
        return self


class DetectorUse(Entry):
    """That a detector runs, and whether what it finds is always selected."""

    flag: bool = False


class Derived(Entry):
    """What a derived signal says: a fixed `score`, its share `scaled` onto [-1, 1], or nothing."""

    score: float | None = Field(default=None, ge=-1, le=1)
    scaled: bool = False
    flag: bool = False

    @model_validator(mode="after")
    def _one_way_to_score(self) -> Self:
        if self.scaled and self.score is not None:
            raise ValueError("has either score or scaled")
        return self


class Sessions(Entry):
    """How long a silence ends a conversation."""

    idle_minutes: float = Field(default=30, gt=0, le=1440)


class Signals(Entry):
    """signals.toml."""

    actions: dict[Name, ActionScore] = Field(default_factory=dict)
    detectors: dict[Name, DetectorUse] = Field(default_factory=dict)
    derived: dict[Literal["retry", "correction", "abandonment", "dwell", "kept_share"], Derived] = Field(
        default_factory=dict
    )
    sessions: Sessions = Sessions()
    corrections: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class Metric(Entry):
    """One table of metrics.toml. The expressions are SQL over response_facts.

    at_new_judge  what becomes of the past when the judge's version changes: `break`, or `rebase` by the measured shift
    """

    title: str
    kind: Literal["rate", "mean"]
    numerator: str
    denominator: str = "true"
    filter: str = "true"
    judge: str | None = None
    unit: Literal["share", "score", "ms", "usd"]
    direction: Literal["up", "down", "none"]
    # Excluded: it says how points are shown, and makes no other metric.
    at_new_judge: Literal["break", "rebase"] = Field(default="break", exclude=True)

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
    """The windows that metrics get points for. Reports are by day, so `day` is always among them."""

    grains: tuple[Grain, ...]

    @model_validator(mode="after")
    def _the_day_once(self) -> Self:
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
        return PROFILES[self.profile] if self.windows is None else self.windows.grains


class Sources(Entry):
    """sources.toml: other systems to read from. A catalog without the file has none."""

    sources: dict[Name, Source] = Field(default_factory=dict)


class ResponseSpan(Entry):
    """Which span of a trace is what the user was shown. A span with the attribute onlineeval.response = true always is.

    by     `root`; or every span of this `name`, `kind` (AGENT, CHAIN …) or `operation` (gen_ai.operation.name); or only
           `marked` ones
    value  the name, kind or operation
    """

    by: Literal["root", "name", "kind", "operation", "marked"] = "root"
    value: str | None = None

    @model_validator(mode="after")
    def _a_value_where_one_is_needed(self) -> Self:
        if (self.by in ("name", "kind", "operation")) != (self.value is not None):
            raise ValueError("by name, kind or operation needs a value; root and marked take none")
        return self


class Traces(Entry):
    """traces.toml: when a trace is complete, and which of its spans is the response. Without the file: the root's."""

    settle_seconds: float = Field(default=30, ge=0)
    rootless_minutes: float = Field(default=10, ge=0)
    response: ResponseSpan = ResponseSpan()


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What is evaluated, as data.

    broken  judges whose file is wrong, by name, and what is: the others go on. Numbers wait for it (see `whole`)
    """

    folder: Path
    judges: tuple[Judge, ...]
    signals: Signals
    sampling: Sampling
    metrics: Metrics
    traces: Traces = field(default_factory=Traces)
    retention: Retention = field(default_factory=Retention)
    gold: tuple[GoldItem, ...] = ()
    promotion: Promotion = field(default_factory=Promotion)
    experiments: Experiments = field(default_factory=Experiments)
    broken: Mapping[str, CatalogError] = field(default_factory=dict)

    def whole(self) -> Self:
        """Itself where every judge could be read: a number must not change because a file has a mistake in it.

        Raises CatalogError that names all that is wrong with the judges.
        """
        if self.broken:
            raise CatalogError("\n".join(map(str, self.broken.values()))) from next(iter(self.broken.values()))
        return self

    @property
    def live_judges(self) -> tuple[Judge, ...]:
        return tuple(judge for judge in self.judges if judge.status != "retired")

    @property
    def counted_judges(self) -> tuple[Judge, ...]:
        """Active ones, and retired ones whose past a metric still tells. Never a shadow: what it says is stored and
        compared, and reaches no number, page or decision.
        """
        told = {metric.judge for metric in self.metrics.metrics.values()}
        return tuple(j for j in self.judges if j.status == "active" or (j.status == "retired" and j.name in told))

    @property
    def asked_judges(self) -> tuple[Judge, ...]:
        """Live judges that new answers are selected for: remote ones once a budget is confirmed."""
        return tuple(judge for judge in self.live_judges if judge.is_local or self.sampling.budget is not None)

    @property
    def waiting_judges(self) -> tuple[Judge, ...]:
        """Live judges that wait for a confirmed budget."""
        return tuple(judge for judge in self.live_judges if judge not in self.asked_judges)

    @property
    def version(self) -> str:
        """Changes when anything changes that the derived tables rest on."""
        parts = [self.signals.version, self.sampling.version, self.metrics.version]
        parts += [f"{judge.name}:{judge.version}:{judge.status}" for judge in self.judges]
        parts.append(f"grains:{' '.join(sorted(self.metrics.grains))}")
        if self.metrics.clock != Clock():
            parts.append(f"clock:{self.metrics.clock.version}")
        return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


def load_sources(folder: Path) -> Mapping[str, Source]:
    """The configured sources by name; none where the folder has no sources.toml. Raises CatalogError."""
    file = folder / "sources.toml"
    return read_file(file, Sources).sources if file.exists() else {}


def load_privacy_file(folder: Path) -> PrivacyFile:
    """What is kept out of the log; the defaults where the folder has no privacy.toml. Raises CatalogError."""
    file = folder / "privacy.toml"
    return read_file(file, PrivacyFile) if file.exists() else PrivacyFile()


def load_catalog(folder: Path) -> Catalog:
    """Read and check every file of the catalog. A judge's file that is wrong is in `broken`, and stops no other judge.

    Raises CatalogError naming file, key, value and remedy.
    """
    if not folder.is_dir():
        raise CatalogError(f"catalog: no folder {folder}; set ONLINEEVAL_CATALOG to a folder with metrics.toml")
    judges, broken = _shown_no_secrets(*load_judges(folder / "judges"), load_privacy_file(folder).judges.private)
    metrics = read_file(folder / "metrics.toml", Metrics)
    catalog = Catalog(
        folder=folder,
        judges=judges,
        signals=read_file(folder / "signals.toml", Signals),
        sampling=read_file(folder / "sampling.toml", Sampling),
        metrics=metrics,
        traces=read_file(folder / "traces.toml", Traces) if (folder / "traces.toml").exists() else Traces(),
        retention=load_retention(folder),
        gold=load_gold(folder),
        promotion=load_promotion(folder),
        experiments=load_experiments(folder, metrics.metrics),
        broken=broken,
    )
    _check_references(catalog)
    if not broken:  # an item may be of the axis of a judge that cannot be read
        check_gold(catalog.gold, judges)
    return catalog


def _shown_no_secrets(
    judges: Iterable[Judge], broken: Mapping[str, CatalogError], private: Collection[str]
) -> tuple[tuple[Judge, ...], Mapping[str, CatalogError]]:
    """The judges that show no model outside what is private; the others are broken."""
    wrong: dict[str, CatalogError] = {}
    for judge in judges:
        is_asked = judge.status != "retired" and not judge.is_local
        shown = [name for name in PLACEHOLDER.findall(judge.prompt) if name in private] if is_asked else []
        if shown:
            wrong[judge.name] = CatalogError(
                f"judges/{judge.name}.md: the prompt shows {{{shown[0]}}} to {judge.model!r}, and privacy.toml keeps "
                "it private; take it out of the prompt, or out of private = […]"
            )
    return tuple(judge for judge in judges if judge.name not in wrong), {**broken, **wrong}


def _check_references(catalog: Catalog) -> None:
    names = sorted([*(judge.name for judge in catalog.judges), *catalog.broken])
    for name, metric in catalog.metrics.metrics.items():
        if metric.judge is not None and metric.judge not in names:
            raise CatalogError(
                f"metrics.toml: metrics.{name}.judge is {metric.judge!r}, which is no file in judges/; "
                f"there are {', '.join(names) or 'none'}"
            )
        if any(judge.name == metric.judge and judge.status == "shadow" for judge in catalog.judges):
            raise CatalogError(
                f"metrics.toml: metrics.{name}.judge is {metric.judge!r}, which is a shadow: it is compared and not "
                f'counted; write status = "active" in judges/{metric.judge}.md, or take the metric out'
            )
    columns = Counter(name.replace("-", "_") for name in names)
    if twice := next((column for column, count in columns.items() if count > 1), None):
        raise CatalogError(f"judges/: two files become the column {twice!r}; rename one of them")
    signals = {*catalog.signals.actions, *catalog.signals.derived, *catalog.signals.detectors}
    if both := next((column for column in columns if column in signals), None):
        raise CatalogError(
            f"judges/: {both!r} is a signal as well, and both would be the column {both}_score; rename one"
        )
    if unknown := next((name for name in catalog.sampling.salts if name not in names), None):
        raise CatalogError(
            f"sampling.toml: salts.{unknown} is no file in judges/; there are {', '.join(names) or 'none'}"
        )
    if catalog.sampling.review is not None and REVIEW in names:
        raise CatalogError("judges/review.md: people's review has this name in sampling.toml; rename the file")
    if catalog.metrics.headline not in catalog.metrics.metrics:
        raise CatalogError(
            f"metrics.toml: headline is {catalog.metrics.headline!r}, which is no metric there; "
            f"choose one of {', '.join(catalog.metrics.metrics)}"
        )
