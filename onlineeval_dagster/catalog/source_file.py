"""One foreign source as sources.toml describes it."""

from datetime import date, datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FEEDBACK = ("user-feedback", "user_feedback", "feedback", "thumbs", "rating", "star_rating", "user_rating", "csat")
"""Names under which other systems keep what users themselves said of an answer."""


class Source(BaseModel):
    """Where foreign rows come from, and how they are read. `${NAME}` in a text stands for an environment variable.

    dialect        a name that `onlineeval sources` lists
    path           a file, a folder or a pattern such as logs/*.jsonl, or several; new files only are read
    url            of a database (SQLAlchemy's form) or of a server
    query, table   what to read of a database: a query with `:cursor` in it, or one table
    cursor_column  the column that grows: a time, a whole number or a text that sorts
    start          where the first pull begins; all there is by default
    lag            read again so far behind the last cursor, for what is committed late: seconds, or steps of a number
    map            our field → their column or dotted path
    feedback       names of scores that are users' own words: they become actions, not verdicts
    axes           their score's name → our axis; the name itself where it is not listed
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dialect: str
    path: str | tuple[str, ...] | None = None
    url: str | None = None
    query: str | None = None
    table: str | None = None
    cursor_column: str | None = None
    start: int | datetime | date | str | None = None
    lag: float = Field(default=300, ge=0, allow_inf_nan=False)
    map: dict[str, str] = Field(default_factory=dict)
    environment: str = Field(default="production", min_length=1)
    app: str = Field(default="default", min_length=1)
    zone: str | None = None
    feedback: tuple[str, ...] = FEEDBACK
    axes: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("needs either path or url")
        return self

    @property
    def paths(self) -> tuple[str, ...]:
        return () if self.path is None else (self.path,) if isinstance(self.path, str) else self.path
