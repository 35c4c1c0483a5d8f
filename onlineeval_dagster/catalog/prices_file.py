"""prices.toml: what models cost by list, and when somebody looked. For estimates: a judge has a price of its own."""

from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from onlineeval_dagster.catalog.judge_file import Price
from onlineeval_dagster.catalog.reading import read_file

Dollars = Annotated[float, Field(ge=0, lt=1e6, allow_inf_nan=False)]


class ListPrice(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    input_usd_per_million: Dollars
    output_usd_per_million: Dollars


class Prices(BaseModel):
    """prices.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: date
    models: dict[str, ListPrice] = Field(default_factory=dict)

    def of(self, model: str) -> Price | None:
        """The list price of a model; None where nobody wrote it down."""
        found = self.models.get(model)
        return None if found is None else Price(**found.model_dump())


def load_prices(file: Path) -> Prices:
    """Read one prices.toml. Raises CatalogError naming key, value and remedy."""
    return read_file(file, Prices)
