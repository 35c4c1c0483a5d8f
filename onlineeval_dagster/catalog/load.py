"""The catalog folder as one frozen value. Read at each tick, so that an edit needs no restart."""

import hashlib
import tomllib
from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from onlineeval_dagster.catalog.judge_file import Judge, load_judges
from onlineeval_dagster.errors import CatalogError

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""Lower case letters, digits and _, starting with a letter: it becomes a column's name."""

Rate = Annotated[float, Field(gt=0, le=1)]


class Entry(BaseModel):
    """A table of a catalog file: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def version(self) -> str:
        """Twelve hex digits that change when the definition changes."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


class ActionScore(Entry):
    """What one action says of an answer: a fixed `score` in [-1, 1], or the action's value mapped from `range`."""

    kind: Literal["implicit", "explicit"]
    score: float | None = Field(default=None, ge=-1, le=1)
    range: tuple[float, float] | None = None
    flag: bool = False

    @model_validator(mode="after")
    def _one_way_to_score(self) -> Self:
        if (self.score is None) == (self.range is None):
            raise ValueError("needs either score or range")
        if self.range is not None and self.range[0] == self.range[1]:
            raise ValueError("range needs two different ends")
        return self


class DetectorUse(Entry):
    """That a detector runs, and whether what it finds is always selected."""

    flag: bool = False


class Signals(Entry):
    """signals.toml."""

    actions: dict[Name, ActionScore] = Field(default_factory=dict)
    detectors: dict[Name, DetectorUse] = Field(default_factory=dict)


class Stratum(Entry):
    rate: Rate


class NewVersion(Stratum):
    hours: float = Field(gt=0)


class Sampling(Entry):
    """sampling.toml: the strata in the order in which they are tried, each with its rate."""

    environments: tuple[str, ...] = Field(default=("production",), min_length=1)
    salt: str = Field(min_length=1)
    flagged: Stratum
    new_version: NewVersion
    normal: Stratum


class Metric(Entry):
    """One table of metrics.toml. The expressions are SQL over response_facts."""

    title: str
    kind: Literal["rate", "mean"]
    numerator: str
    denominator: str = "true"
    filter: str = "true"
    judge: str | None = None
    unit: Literal["share", "score", "ms", "usd"]
    direction: Literal["up", "down", "none"]


class Metrics(Entry):
    """metrics.toml."""

    headline: str
    metrics: dict[Name, Metric] = Field(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What is evaluated, as data."""

    folder: Path
    judges: tuple[Judge, ...]
    signals: Signals
    sampling: Sampling
    metrics: Metrics

    @property
    def live_judges(self) -> tuple[Judge, ...]:
        return tuple(judge for judge in self.judges if judge.status != "retired")

    @property
    def version(self) -> str:
        """Changes when anything changes that the derived tables rest on."""
        parts = [self.signals.version, self.sampling.version, self.metrics.version]
        parts += [f"{judge.name}:{judge.version}:{judge.status}" for judge in self.judges]
        return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


def load_catalog(folder: Path) -> Catalog:
    """Read and check every file of the catalog.

    Raises CatalogError naming file, key, value and remedy.
    """
    if not folder.is_dir():
        raise CatalogError(f"catalog: no folder {folder}; set ONLINEEVAL_CATALOG to a folder with metrics.toml")
    judges = load_judges(folder / "judges")
    catalog = Catalog(
        folder=folder,
        judges=judges,
        signals=_read(folder / "signals.toml", Signals),
        sampling=_read(folder / "sampling.toml", Sampling),
        metrics=_read(folder / "metrics.toml", Metrics),
    )
    _check_references(catalog)
    return catalog


def _check_references(catalog: Catalog) -> None:
    names = [judge.name for judge in catalog.judges]
    for name, metric in catalog.metrics.metrics.items():
        if metric.judge is not None and metric.judge not in names:
            raise CatalogError(
                f"metrics.toml: metrics.{name}.judge is {metric.judge!r}, which is no file in judges/; "
                f"there are {', '.join(names) or 'none'}"
            )
    columns = Counter(name.replace("-", "_") for name in names)
    if twice := next((column for column, count in columns.items() if count > 1), None):
        raise CatalogError(f"judges/: two files become the column {twice!r}; rename one of them")
    if catalog.metrics.headline not in catalog.metrics.metrics:
        raise CatalogError(
            f"metrics.toml: headline is {catalog.metrics.headline!r}, which is no metric there; "
            f"choose one of {', '.join(catalog.metrics.metrics)}"
        )


E_ = TypeVar("E_", bound=Entry)


def _read(path: Path, model: type[E_]) -> E_:
    try:
        return model.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise CatalogError(f"{path.name}: not in {path.parent}; copy the packaged one and edit it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path.name}: cannot be read ({error}); save it as UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{path.name}: not TOML: {error}") from error
    except ValidationError as error:
        raise CatalogError(f"{path.name}: {_first_mistake(error, model)}") from error


def _first_mistake(error: ValidationError, model: type[Entry]) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    value = first["input"]
    if first["type"] == "extra_forbidden":
        known = _known_keys(model)
        near = get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(sorted(known))}"
        return f"{place} is not a known key; {hint}"
    if first["type"] == "missing":
        return f"{place} is missing; add it"
    if str(first["loc"][-1]) == "rate":
        return f"{place} must be in (0, 1], got {value}; write 0.1 for ten percent"
    remedy = "names are lower case letters, digits and _" if first["loc"][-1] == "[key]" else "correct it"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}, got {value!r}; {remedy}"


def _known_keys(model: type[Entry]) -> set[str]:
    known = set(model.model_fields)
    for nested in (ActionScore, DetectorUse, Stratum, NewVersion, Metric):
        known |= set(nested.model_fields)
    return known
