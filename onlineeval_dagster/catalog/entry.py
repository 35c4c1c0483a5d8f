"""What every table of a catalog file shares: frozen, no unknown keys, a version of its content."""

import hashlib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""Lower case letters, digits and _, starting with a letter: it becomes a column's name."""

Rate = Annotated[float, Field(gt=0, le=1)]


class Entry(BaseModel):
    """A table of a catalog file: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def version(self) -> str:
        """Twelve hex digits that change when the definition changes."""
        return hashlib.sha256(self.model_dump_json(exclude=self._unsaid()).encode()).hexdigest()[:12]

    def _unsaid(self) -> set[str]:
        """Fields that came later and say nothing here: an entry from before them keeps its version."""
        return set()
