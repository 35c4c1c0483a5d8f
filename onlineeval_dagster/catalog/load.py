"""The catalog folder as one frozen value. Read at each tick, so that an edit needs no restart."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pydantic import Field

from onlineeval_dagster.catalog.alert_file import Alerts, load_alerts
from onlineeval_dagster.catalog.clock_file import Clock
from onlineeval_dagster.catalog.entry import Entry, Name
from onlineeval_dagster.catalog.experiment_file import Experiments, load_experiments
from onlineeval_dagster.catalog.gold_file import GoldItem, check_gold, load_gold
from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.judge_reading import load_judges
from onlineeval_dagster.catalog.metrics_file import Metrics
from onlineeval_dagster.catalog.privacy_file import PrivacyFile
from onlineeval_dagster.catalog.promotion_file import Promotion, load_promotion
from onlineeval_dagster.catalog.reading import read_file
from onlineeval_dagster.catalog.retention import Retention, load_retention
from onlineeval_dagster.catalog.sampling_file import REVIEW, Sampling
from onlineeval_dagster.catalog.signals_file import Signals
from onlineeval_dagster.catalog.source_file import Source
from onlineeval_dagster.catalog.traces_file import Traces
from onlineeval_dagster.errors import CatalogError


class Sources(Entry):
    """sources.toml: other systems to read from. A catalog without the file has none."""

    sources: dict[Name, Source] = Field(default_factory=dict)


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
    alerts: Alerts = field(default_factory=Alerts)
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
    judges, broken = _one_unit_an_axis(*load_judges(folder / "judges"))
    judges, broken = _shown_no_secrets(judges, broken, load_privacy_file(folder).judges.private)
    metrics = read_file(folder / "metrics.toml", Metrics)
    sampling = read_file(folder / "sampling.toml", Sampling)
    catalog = Catalog(
        folder=folder,
        judges=judges,
        signals=read_file(folder / "signals.toml", Signals),
        sampling=sampling,
        metrics=metrics,
        traces=read_file(folder / "traces.toml", Traces) if (folder / "traces.toml").exists() else Traces(),
        retention=load_retention(folder),
        gold=load_gold(folder),
        promotion=load_promotion(folder),
        experiments=load_experiments(folder, metrics.metrics),
        alerts=_after_the_draw(load_alerts(folder, metrics), metrics, sampling),
        broken=broken,
    )
    _check_references(catalog)
    if not broken:  # an item may be of the axis of a judge that cannot be read
        check_gold(catalog.gold, judges)
    return catalog


def _one_unit_an_axis(
    judges: Iterable[Judge], broken: Mapping[str, CatalogError]
) -> tuple[tuple[Judge, ...], Mapping[str, CatalogError]]:
    """Judges of one axis are compared on the same items: one of sessions beside one of answers is broken."""
    of_answers = {judge.axis: judge.name for judge in judges if not judge.is_of_sessions}
    wrong = {
        judge.name: CatalogError(
            f"judges/{judge.name}.md: unit is 'session', and judges/{of_answers[judge.axis]}.md scores {judge.axis!r} "
            "of single answers; the two cannot be compared, give one of them another axis"
        )
        for judge in judges
        if judge.is_of_sessions and judge.axis in of_answers
    }
    return tuple(judge for judge in judges if judge.name not in wrong), {**broken, **wrong}


def _shown_no_secrets(
    judges: Iterable[Judge], broken: Mapping[str, CatalogError], private: Collection[str]
) -> tuple[tuple[Judge, ...], Mapping[str, CatalogError]]:
    """The judges that show no model outside what is private; the others are broken."""
    wrong: dict[str, CatalogError] = {}
    for judge in judges:
        is_asked = judge.status != "retired" and not judge.is_local
        shown = [name for name in judge.shown if name in private] if is_asked else []
        if shown:
            wrong[judge.name] = CatalogError(
                f"judges/{judge.name}.md: the prompt shows {{{shown[0]}}} to {judge.model!r}, and privacy.toml keeps "
                "it private; take it out of the prompt, or out of private = […]"
            )
    return tuple(judge for judge in judges if judge.name not in wrong), {**broken, **wrong}


def _after_the_draw(alerts: Alerts, metrics: Metrics, sampling: Sampling) -> Alerts:
    """Where strata are drawn only when their window closes, rules over judged metrics wait that much longer: before, a
    window holds nothing but what looked wrong or came at a plain rate.
    """
    if not any(stratum.at_least for stratum in sampling.strata.values()):
        return alerts
    judged = {name for name, metric in metrics.metrics.items() if metric.judge is not None}
    rules = {
        name: rule.model_copy(update={"wait_minutes": rule.wait_minutes + sampling.window_minutes})
        if rule.metric in judged
        else rule
        for name, rule in alerts.rules.items()
    }
    return alerts.model_copy(update={"rules": rules})


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
