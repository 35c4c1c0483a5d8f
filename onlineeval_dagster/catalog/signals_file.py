"""signals.toml: what user actions, detectors and the conversation itself say of an answer."""

from typing import Literal, Self

from pydantic import Field, model_validator

from onlineeval_dagster.catalog.entry import Entry, Name


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
