"""traces.toml: when a trace is complete, and which of its spans is the response."""

from typing import Literal, Self

from pydantic import Field, model_validator

from onlineeval_dagster.catalog.entry import Entry


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
