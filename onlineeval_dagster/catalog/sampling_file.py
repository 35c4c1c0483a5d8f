"""sampling.toml: the strata in the order in which they are tried, how each is drawn, and what may be spent."""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from onlineeval_dagster.catalog.entry import Entry, Name, Rate

TARGETED = "targeted"
"""The stratum of selections that a late flag opened: shown and followed up, in no estimate."""

REVIEW = "review"
"""People's own selection: a judge by this name, axis and version, in the table of selections only."""

RESERVED = ("flagged", "watched", "new_version", "normal", "late", TARGETED, REVIEW)
MINUTES_A_DAY = 1440
TARGETED_A_DAY = 20
GOLD_SHARE = 0.05


class Stratum(Entry):
    """How a stratum is drawn: give one of `rate` and `size`.

    rate   Poisson: each answer by itself with this chance, as soon as it is seen
    floor  with a rate: at least so many answers a window, topped up when the window closes
    size   exactly so many answers a window (all, where there are fewer), drawn when the window closes
    """

    rate: Rate | None = None
    floor: int = Field(default=0, ge=0, le=1_000_000)
    size: int | None = Field(default=None, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _one_mechanism(self) -> Self:
        if (self.rate is None) == (self.size is None):
            raise ValueError("needs one of rate (a share) and size (answers a window)")
        if self.floor and self.size is not None:
            raise ValueError("size is a floor already; a floor goes with a rate")
        return self

    @property
    def at_least(self) -> int:
        """Answers a window that are selected whatever their hash: 0 for a plain rate."""
        return self.floor if self.size is None else self.size


class Flagged(Stratum):
    """Answers that already look wrong. A flag that comes within `follow_up_days` of the answer, but after its decision,
    opens a targeted selection at the same rate; 0 opens none.
    """

    follow_up_days: float = Field(default=7, ge=0, le=90)


class Watched(Stratum):
    """Answers that a deploy meets in the first `minutes` after it: of the prompt version, variant and model that it
    names, or all of its app and environment where it names none. Alerts look at them (alerts.toml, [deploy_watch])."""

    minutes: float = Field(default=150, gt=0, le=24 * 60)


class NewVersion(Stratum):
    """Answers of a prompt version or variant in the first `hours` after its first deploy."""

    hours: float = Field(gt=0, le=24 * 90)


class Segment(Stratum):
    """Answers that have one of `values` in a column: users of one kind, an arm of an experiment."""

    column: Literal["app", "device", "location", "language", "new_user", "variant", "prompt_version", "model"]
    values: tuple[str, ...] = Field(min_length=1)


class Review(Entry):
    """People look at this share of all answers: those of them with the lowest hashes, so they are judged as well.

    raters          by axis: how many people look at the same answer; one where none is named
    targeted_a_day  answers a day at most that look wrong, shown beside the random ones and in no estimate
    gold_share      share of what a person is shown whose right score is known, as long as there is any: in no estimate
    """

    rate: Rate
    # Not part of the version either: they change no chance.
    raters: dict[str, Annotated[int, Field(ge=1, le=20)]] = Field(default_factory=dict, exclude=True)
    targeted_a_day: int = Field(default=TARGETED_A_DAY, ge=0, le=10_000, exclude=True)
    gold_share: float = Field(default=GOLD_SHARE, ge=0, le=0.5, exclude=True)


class Pace(Entry):
    """Selections a judge and day at most. Rates are lowered as the day goes on, so that it lasts until the evening."""

    calls_a_day: int = Field(ge=1, le=1_000_000_000)


class Budget(Entry):
    """That a person saw what judging costs and agreed: before that nothing goes to a remote model.

    monthly_cap_usd  what the rates were chosen for, US dollars a month
    confirmed_at     answers from then on may be judged by remote models
    judge_history    answers from before as well
    """

    monthly_cap_usd: float = Field(ge=0, allow_inf_nan=False)
    confirmed_at: AwareDatetime
    judge_history: bool = False


class Sampling(Entry):
    """sampling.toml.

    salt            judges that share one see the same answers; `salts` gives some judges one of their own
    window_minutes  of a window: floors, sizes and rates hold within each
    late_rate       chance of an answer that comes after its window closed and took all that there were
    watched         a catalog without it judges what a deploy meets as often as anything else
    segments        by name, tried in this order after flagged, watched and new_version
    """

    environments: tuple[str, ...] = Field(default=("production",), min_length=1)
    salt: str = Field(min_length=1)
    salts: dict[str, str] = Field(default_factory=dict)
    window_minutes: int = Field(default=60, ge=1, le=MINUTES_A_DAY)
    late_rate: Rate = 0.1
    flagged: Flagged
    watched: Watched | None = None
    new_version: NewVersion
    segments: dict[Name, Segment] = Field(default_factory=dict)
    normal: Stratum
    review: Review | None = None
    # Not part of the version, which would build every day again: they say what may be spent. The chance that they led
    # to stands on each row.
    pace: Pace | None = Field(default=None, exclude=True)
    budget: Budget | None = Field(default=None, exclude=True)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if MINUTES_A_DAY % self.window_minutes:
            raise ValueError(
                f"window_minutes is {self.window_minutes}; a day must hold whole windows: 15, 60, 360, 1440"
            )
        if taken := [name for name in self.segments if name in RESERVED]:
            raise ValueError(f"segments.{taken[0]} has the name of a stratum that there is already; choose another")
        if empty := [judge for judge, salt in self.salts.items() if not salt]:
            raise ValueError(f"salts.{empty[0]} is empty; name a cohort or leave the line out")
        self._review_is_nested()
        return self

    def _review_is_nested(self) -> None:
        rate = 0 if self.review is None else self.review.rate
        if low := [name for name, stratum in self.strata.items() if stratum.rate is not None and stratum.rate < rate]:
            raise ValueError(
                f"review.rate is {rate:g} and {low[0]}.rate {self.strata[low[0]].rate:g}: people would see answers "
                "that no judge sees; lower the first or raise the second"
            )

    @property
    def strata(self) -> dict[str, Stratum]:
        """Every stratum by name, in the order in which they are tried."""
        watched = {} if self.watched is None else {"watched": self.watched}
        later = {"new_version": self.new_version, **self.segments, "normal": self.normal}
        return {"flagged": self.flagged, **watched, **later}

    def salt_of(self, judge: str) -> str:
        return self.salts.get(judge, self.salt)
