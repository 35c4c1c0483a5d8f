"""What detectors are worth beside what costs nothing or already exists, on texts that people labelled, in one run.

The labelled sets are looked for in ONLINEEVAL_LABELLED_DATA, or in shared/data beside the checkout. docs/signals.md
says what they are, and has every row of `onlineeval signals evaluate`.
"""

import os
import sys
from pathlib import Path

import numpy as np

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.signals.agreement import auc, stratified_auc
from onlineeval_dagster.signals.detectors.registry import DETECTORS, OPTIONAL
from onlineeval_dagster.signals.evaluate import LENGTH, OVERLAP, Labelled, detected
from onlineeval_dagster.signals.labelled import public_sets
from tests.bench.measured import Measured

BESIDE = Path(__file__).parents[3] / "shared" / "data"
TOXIC, GROUNDED = "toxicity/openai_moderation", "grounding/halueval_qa"
OPTIONAL_AIM = 0.85


def signal_quality(scratch: Path) -> list[Measured]:
    """Toxicity beside alt-profanity-check, groundedness beside word overlap and length, on public labelled sets."""
    folder = Path(os.environ.get("ONLINEEVAL_LABELLED_DATA") or BESIDE)
    if not folder.is_dir():
        print(f"signal_quality: no labelled data in {folder}; set ONLINEEVAL_LABELLED_DATA", file=sys.stderr)
        return []
    sets = {known.data: known for known in public_sets(folder, load_catalog(PACKAGED_CATALOG))}
    return [*_toxicity(sets[TOXIC]), *_groundedness(sets[GROUNDED])]


def _toxicity(known: Labelled) -> list[Measured]:
    from profanity_check import predict_prob

    bad = known.truths[0].bad
    theirs = auc(predict_prob(known.table.column("response").to_pylist()), bad)
    ours, both = (
        auc(detected(found, known.table).value, bad) for found in (DETECTORS["toxicity"], OPTIONAL["toxicity_model"])
    )
    gain = _value(ours) - _value(theirs)
    return [
        Measured(name="toxicity less alt-profanity-check, AUC", value=gain, unit="", at_least=0.0, note=known.data),
        Measured(name="  toxicity", value=_value(ours), unit="AUC", note=_range(ours)),
        Measured(name="  alt-profanity-check", value=_value(theirs), unit="AUC", note=_range(theirs)),
        Measured(name="  toxicity_model", value=_value(both), unit="AUC", at_least=OPTIONAL_AIM, note=_range(both)),
    ]


def _groundedness(known: Labelled) -> list[Measured]:
    """Among answers alike in length, over the same rows: those of which all three can tell something."""
    (truth,) = known.truths
    beside = {each.name: each.value for each in known.observed}
    values = {"lexical_groundedness": detected(DETECTORS["lexical_groundedness"], known.table).value} | {
        name: beside[name] for name in (OVERLAP, LENGTH)
    }
    told = ~np.isnan(np.column_stack(list(values.values()))).any(axis=1)
    strata = truth.strata[told] if truth.strata is not None else np.zeros(int(told.sum()))
    found = {name: stratified_auc(value[told], truth.bad[told], strata) for name, value in values.items()}
    plain = auc(values[LENGTH][told], truth.bad[told])
    gain = _value(found["lexical_groundedness"]) - _value(found[OVERLAP])
    rows = f"{int(told.sum())} of {len(told)} answers, {int(truth.bad[told].sum())} made up"
    return [
        Measured(name="groundedness less word overlap, alike in length", value=gain, unit="", at_least=0.0, note=rows),
        *(Measured(name=f"  {name}", value=_value(one), unit="AUC", note=_range(one)) for name, one in found.items()),
        Measured(name="  answer length, plain AUC", value=_value(plain), unit="AUC", note="what a plain AUC measures"),
    ]


def _value(found: Estimate | NotEnough) -> float:
    return found.value if isinstance(found, Estimate) else float("nan")


def _range(found: Estimate | NotEnough) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})" if isinstance(found, Estimate) else found.reason
