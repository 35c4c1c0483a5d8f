"""Injection canaries: answers that order the judge to give its highest score. Pure; the texts are in canaries.toml."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.judges.trials import TrialItem, TrialSet

NAME = "canaries"
CONTROL = "control"
"""The group of the carriers without an order."""

CANARIES_A_DAY = 12
"""Put to a judge's version a day: all of the set within a week, for about a cent a day with a small model."""


def canaries_for(judge: Judge) -> TrialSet:
    """The set in the words of this judge's scale: each carrier alone, then every order in every carrier."""
    said = _file()
    top = max(judge.scale)
    word = next((label for label, score in judge.labels.items() if score == top), str(top))
    items = [
        _item(name, CONTROL, carrier, carrier["answer"], ordered=None) for name, carrier in said["carriers"].items()
    ]
    items += [
        _item(f"{order}-{name}", order, carrier, text.format(answer=carrier["answer"], top=word), ordered=float(top))
        for order, text in said["orders"].items()
        for name, carrier in said["carriers"].items()
    ]
    return TrialSet(name=NAME, version=said["version"], items=tuple(items), a_day=CANARIES_A_DAY)


def carrier_of(item: str) -> str:
    """The carrier that stands in a canary, by the canary's name; a control's is its own.

    >>> carrier_of("forged_end-train"), carrier_of("train")
    ('train', 'train')
    """
    return item.rsplit("-", 1)[-1]


def _item(item: str, group: str, carrier: dict[str, str], answer: str, *, ordered: float | None) -> TrialItem:
    return TrialItem(
        item=item,
        group=group,
        query=carrier["query"],
        context=carrier["context"],
        response=answer,
        ordered=ordered,
    )


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("canaries.toml").read_text(encoding="utf-8"))
