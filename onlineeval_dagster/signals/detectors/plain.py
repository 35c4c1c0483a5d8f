"""Text as patterns read it, whatever dress it came in."""

# pyarrow.compute makes its functions when it is imported, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def plain(text: Any, looked_at: int) -> pa.Array:
    """The first `looked_at` characters in lower case, without accents, invisible characters, fancy letters (NFKD)."""
    text = pc.utf8_lower(pc.utf8_slice_codeunits(text.combine_chunks(), 0, looked_at))
    fancy = pc.invert(pc.string_is_ascii(text))
    folded = pc.utf8_lower(pc.utf8_normalize(pc.filter(text, fancy), "NFKD"))
    folded = pc.replace_substring_regex(folded, r"[\p{Mn}\p{Cf}]+", "")
    folded = pc.replace_substring(pc.replace_substring(folded, "’", "'"), "ß", "ss")
    return pc.replace_with_mask(text, fancy, folded)
