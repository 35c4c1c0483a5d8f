"""gold.toml: items whose right score is known, mixed in among people's tasks and put to the judges every week."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from onlineeval_dagster.catalog.entry import Entry
from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.reading import read_file
from onlineeval_dagster.errors import CatalogError


class GoldItem(Entry):
    """One item: what a judge is shown, and the score that is right."""

    axis: str
    score: int
    query: str
    response: str
    context: str | None = None
    conversation: str | None = None
    reference: str | None = None

    @property
    def response_id(self) -> str:
        """`gold:` and a hash of all of it: a changed item is another one."""
        texts = self.query, self.response, self.context or "", self.conversation or ""
        reference = () if self.reference is None else (self.reference,)  # items without one keep their id
        said = "\x1f".join((self.axis, str(self.score), *texts, *reference))
        return f"gold:{hashlib.sha256(said.encode()).hexdigest()[:24]}"


class Gold(Entry):
    """The file: [[gold]] tables. A catalog without it has none."""

    gold: tuple[GoldItem, ...] = ()


def load_gold(folder: Path) -> tuple[GoldItem, ...]:
    """The items of the folder; none where it has no gold.toml. Raises CatalogError."""
    file = folder / "gold.toml"
    return read_file(file, Gold).gold if file.exists() else ()


def check_gold(found: Iterable[GoldItem], judges: Iterable[Judge]) -> None:
    """Raises CatalogError where an item's axis has no judge, or its score is not on that judge's scale."""
    scales = {judge.axis: judge.scale for judge in judges}
    for place, item in enumerate(found):
        if item.axis not in scales:
            raise CatalogError(
                f"gold.toml: gold.{place}.axis is {item.axis!r}, which no judge scores; there are {', '.join(scales)}"
            )
        if item.score not in scales[item.axis]:
            told = ", ".join(map(str, scales[item.axis]))
            raise CatalogError(f"gold.toml: gold.{place}.score is {item.score}; the scale of {item.axis} is {told}")
