"""What signals are worth: how each agrees with people, and how all together order the answers best."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.arrow import from_table, to_table
from onlineeval_dagster.contracts.base import Contract
from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.contracts.tables import DAY, TABLES
from onlineeval_dagster.contracts.validity import QualityWeight, SignalValidity
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.signals.agreement import auc, rank_correlation
from onlineeval_dagster.signals.quality_index import QualityIndex, quality_index
from onlineeval_dagster.signals.ranks import Bools, Floats
from onlineeval_dagster.signals.readings import Known, Readings, Window, known_signals, read_window

_PLAIN_WORDS = {
    "too few positive clusters": "too few users with a good answer",
    "too few negative clusters": "too few users with a poor answer",
    "too few clusters that have both": "too few users with both",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the labels of a window say: each signal by itself, and the weights of all."""

    validity: tuple[SignalValidity, ...]
    weights: tuple[QualityWeight, ...]


def measure_signals(lake: Lake, catalog: Catalog, *, now: datetime) -> Measured:
    """Compare every signal of the catalog with what people said in the last 28 days; writes nothing."""
    window = read_window(lake, catalog, now=now)
    signals = known_signals(catalog)
    return Measured(
        validity=tuple(
            _validity(window, axis, signal, column) for axis in window.axes for column, signal in enumerate(signals)
        ),
        weights=tuple(row for axis in window.axes for row in _weights(window, axis)),
    )


def write_measured(lake: Lake, catalog: Catalog, *, now: datetime) -> Measured:
    """The same into the lake, in place of what was measured earlier on the same day."""
    measured = measure_signals(lake, catalog, now=now)
    tables: dict[str, tuple[Contract, ...]] = {
        "signal_validity": measured.validity,
        "quality_weights": measured.weights,
    }
    for name, found in tables.items():
        table = to_table(list(found), TABLES[name].contract)
        day = pa.array([now.date()] * len(table), DAY.type)
        lake.replace_days(name, [now.date()], table.append_column(DAY, day))
    return measured


def read_measured(lake: Lake) -> Measured:
    """What was measured on the latest day; nothing where nothing was."""
    latest = sorted(lake.days("signal_validity"))[-1:]
    found = {
        name: from_table(rows(lake, f"select * from {name}", {name: latest}), TABLES[name].contract)
        for name in ("signal_validity", "quality_weights")
    }
    return Measured(validity=tuple(found["signal_validity"]), weights=tuple(found["quality_weights"]))


def _validity(window: Window, axis: Readings, signal: Known, column: int) -> SignalValidity:
    seen = window.seen.get(signal.name)
    answers = seen.answers if seen else 0
    said = ~np.isnan(axis.readings[:, column])
    agreement, correlation = _agreement(axis, signal, axis.readings[said, column], said, is_seen=seen is not None)
    return SignalValidity(
        computed_at=window.until,
        since=window.since,
        signal=signal.name,
        kind=signal.kind,
        axis=axis.axis,
        signal_version=seen.version if seen else None,
        reads=signal.reads,
        design=axis.design,
        responses=window.responses,
        with_signal=answers,
        coverage=answers / window.responses if window.responses else None,
        labelled=int(said.sum()),
        good=None if axis.good is None else int(axis.good[said].sum()),
        auc_reason=_reason(agreement),
        rank_reason=_reason(correlation),
        **_range(agreement, "auc", "auc"),
        **_range(correlation, "rank_correlation", "rank"),
    )


Found = Estimate | NotEnough


def _agreement(axis: Readings, signal: Known, readings: Floats, said: Bools, *, is_seen: bool) -> tuple[Found, Found]:
    """AUC and rank correlation over the answers of which the signal says something, or why there is none."""
    nothing: NotEnough | None = None
    if not signal.directed:
        nothing = NotEnough(have=0, needed=1, reason="signals.toml does not say which way it points")
    elif not is_seen:
        nothing = NotEnough(have=0, needed=1, reason="no answer of the window has it")
    elif len(readings) and np.ptp(readings) == 0:
        nothing = NotEnough(have=1, needed=2, reason="it reads the same on every labelled answer")
    if nothing is not None:
        return nothing, nothing
    of_rows = {"weights": axis.weight[said], "clusters": axis.user[said]}
    correlation = rank_correlation(readings, axis.label[said], **of_rows)
    if axis.good is None:
        unmarked = NotEnough(have=0, needed=1, reason="no judge file says from which score on an answer is good")
        return unmarked, correlation
    return auc(readings, axis.good[said], **of_rows), correlation


def _weights(window: Window, axis: Readings) -> Iterator[QualityWeight]:
    """The intercept and every signal, in the catalog's order."""
    index = quality_index(axis)
    told: dict[str, Any] = {
        **_range(index.fitted_auc, "fitted_auc", "fitted"),
        **_range(index.catalog_auc, "catalog_auc", "catalog"),
        **_range(index.gain, "gain", "gain"),
    }
    for signal, weight, centre, scale in _columns(axis, index):
        yield QualityWeight(
            computed_at=window.until,
            since=window.since,
            axis=axis.axis,
            signal=signal.name,
            reads=signal.reads if index.fitted else "score",
            design=axis.design,
            method=index.method,
            weight=weight,
            centre=centre,
            scale=scale,
            reason=index.reason,
            penalty=index.fitted.penalty if index.fitted else None,
            labelled=index.labelled,
            rarer=index.rarer,
            **told,
        )


def _columns(axis: Readings, index: QualityIndex) -> Iterator[tuple[Known, float, float, float]]:
    intercept, fitted = Known(name="intercept", kind="automated"), index.fitted
    if fitted is None:
        yield intercept, 0.0, 0.0, 1.0
        yield from ((signal, float(signal.directed), 0.0, 1.0) for signal in axis.signals)
        return
    yield intercept, fitted.intercept, 0.0, 1.0
    columns = zip(axis.signals, fitted.weight.tolist(), fitted.centre.tolist(), fitted.scale.tolist(), strict=True)
    yield from columns


def _range(found: Found, value: str, prefix: str) -> dict[str, Any]:
    """The value and its likely range as fields; none where there is no number."""
    if isinstance(found, NotEnough):
        return {}
    return {value: found.value, f"{prefix}_low": found.low, f"{prefix}_high": found.high}


def _reason(found: Found) -> str | None:
    if isinstance(found, Estimate):
        return None
    counted = f": {found.have} of {found.needed}" if found.reason in _PLAIN_WORDS else ""
    return _PLAIN_WORDS.get(found.reason, found.reason) + counted
