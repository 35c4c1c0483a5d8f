"""A TOML file of the catalog as a checked value; a mistake names file, key, value and remedy."""

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from onlineeval_dagster.errors import CatalogError

F = TypeVar("F", bound=BaseModel)


def read_file(path: Path, model: type[F]) -> F:
    """The file as `model` says it is. Raises CatalogError."""
    try:
        return model.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise CatalogError(f"{path.name}: not in {path.parent}; copy the packaged one and edit it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path.name}: cannot be read ({error}); save it as UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{path.name}: not TOML: {error}") from error
    except ValidationError as error:
        raise CatalogError(f"{path.name}: {_first_mistake(error, model)}") from error


def _first_mistake(error: ValidationError, model: type[BaseModel]) -> str:
    first = error.errors()[0]
    if not first["loc"]:  # of the file as a whole: the message names its keys
        return first["msg"].removeprefix("Value error, ")
    place = ".".join(str(part) for part in first["loc"])
    value = first["input"]
    if first["type"] == "extra_forbidden":
        known = _known_keys(model)
        near = get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(sorted(known))}"
        return f"{place} is not a known key; {hint}"
    if first["type"] == "missing":
        return f"{place} is missing; add it"
    if str(first["loc"][-1]) == "rate":
        return f"{place} must be in (0, 1], got {value}; write 0.1 for ten percent"
    remedy = "names are lower case letters, digits and _" if first["loc"][-1] == "[key]" else "correct it"
    # A whole table is not shown: it may hold a password.
    got = "" if isinstance(value, dict) else f", got {value!r}"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}{got}; {remedy}"


def _known_keys(model: type[BaseModel]) -> set[str]:
    """The keys of a file: its model's fields and those of every model within."""
    known = set(model.model_fields)
    for field in model.model_fields.values():
        for nested in _models(field.annotation):
            known |= _known_keys(nested)
    return known


def _models(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for part in get_args(annotation) for model in _models(part)}
