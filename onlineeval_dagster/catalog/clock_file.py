"""The clock of metrics.toml: the zone that a day's rhythm follows, and days that are no usual ones."""

from datetime import date
from typing import Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from onlineeval_dagster.catalog.entry import Entry

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Clock(Entry):
    """The clock that people who use the product live by.

    zone      an IANA name
    holidays  dates that behave like another weekday
    """

    zone: str = "UTC"
    holidays: dict[date, Weekday] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _a_known_zone(self) -> Self:
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f'zone is {self.zone!r}, which is none; write for example "Europe/Berlin"') from error
        return self

    @property
    def behaves_like(self) -> dict[date, int]:
        """The holidays, with weekdays as numbers: 0 for Monday."""
        return {at: get_args(Weekday).index(name) for at, name in self.holidays.items()}
