"""What every contract shares: frozen values, aware UTC times, bounded ids."""

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    Strict,
    model_validator,
)


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a time outside the years 1 to 9999 in UTC; correct it") from error


def _iso(raw: Any) -> Any:
    # Lax parsing would read 1700000000 as seconds and 1700000000000 as milliseconds: a guess.
    if isinstance(raw, datetime) or (isinstance(raw, str) and len(raw) > 10 and raw[10] in "Tt "):
        return raw
    raise ValueError("send ISO 8601 with a zone, such as 2026-11-23T08:00:00Z")


Instant = Annotated[AwareDatetime, Strict(False), BeforeValidator(_iso), AfterValidator(_to_utc)]
"""An aware datetime, held in UTC with microseconds. As text: ISO 8601 with a zone."""

Key = Annotated[str, Field(min_length=1, max_length=256)]
"""An id or a name: 1 to 256 characters."""

Probability = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
"""A known chance of inclusion, in (0, 1]."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A share, in [0, 1]."""

Count = Annotated[int, Field(ge=0, lt=2**63)]
"""A whole number of things, fitting 64 bits."""

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A finite quantity that cannot be negative; the unit is in the field's name."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
"""A finite number of either sign."""


class Contract(BaseModel):
    """A value that crosses disk, wire or process. Frozen; numbers are never read from text by guessing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, ser_json_bytes="utf8")


class LogEvent(Contract):
    """One line of the log. Fields it does not know are kept in `attributes`, never lost.

    event_id     unique per event and kept on retry, so that it implies `occurred_at` and hence the day
    occurred_at  when it happened, set once by the producer
    received_at  when the front door wrote it down
    environment  metrics count `production` unless they say otherwise
    app          which product, where several share one log
    attributes   anything else, JSON
    """

    event_id: Key
    occurred_at: Instant
    received_at: Instant
    environment: Key = "production"
    app: Key = "default"
    attributes: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _keep_unknown_fields(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        unknown = {name: value for name, value in raw.items() if name not in cls.model_fields}
        if not unknown:
            return raw
        attributes = raw.get("attributes")
        if attributes is None:
            attributes = {}
        if not isinstance(attributes, dict):
            return raw  # the field's own validation names the mistake
        known = {name: value for name, value in raw.items() if name in cls.model_fields}
        return known | {"attributes": unknown | attributes}

    @model_validator(mode="after")
    def _not_before_2000(self) -> Self:
        for name in ("occurred_at", "received_at"):
            if getattr(self, name).year < 2000:
                told = f"{name} is before the year 2000"
                raise ValueError(f"{told}; send ISO 8601 with a zone, such as 2026-11-23T08:00:00Z")
        return self
