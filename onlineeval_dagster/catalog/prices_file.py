"""prices.toml: what models cost by list, and when somebody looked. For estimates: a judge has a price of its own."""

import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from onlineeval_dagster.catalog.judge_file import Price
from onlineeval_dagster.errors import CatalogError

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
    try:
        return Prices.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"prices.toml: cannot be read ({error}); copy the packaged one again") from error
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"prices.toml: not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CatalogError(f"prices.toml: {place}: {first['msg']}, got {first['input']!r}; correct it") from error
