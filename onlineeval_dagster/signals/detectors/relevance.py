"""Answers that are about something else than the question."""

# pyarrow.compute makes its functions when it is imported, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.signals.detectors.interface import NO_REASON, Detector, folded, found, text_of
from onlineeval_dagster.signals.detectors.words import Words, pieces, words_by_column

LOOKED_AT = {"response": 4_000, "query": 2_000}
CONTEXT = 10_000  # characters, of the few answers that would be flagged
FEW = 3  # content words; an answer of fewer may have none of the question's: "Bobby Scott"
MANY = 12  # content words; an answer to a question that has none of its words in so many is about something else
PROSE = 6  # function words; a list may answer without a word of the question
SHORT = 80  # characters of an answer whose kind shows
KIND = 0.3  # what the right kind of answer is worth beside all the words in common

_EARLY = r"^\W*(?:\w+\W+){0,2}"  # "how do I descale it when the water is hard" asks for no time
_NUMBER_ASKED = (
    rf"{_EARLY}(?:when|wann|cuándo|quand|quando)\b"
    r"|\b(?:(?:what|which) (?:year|date|day|time|age|percentage)"
    r"|how (?:many|much|old|long|far|tall|high|big|fast|often)|wie ?(?:viele?|alt|lange|hoch|weit|groß|oft|teuer)"
    r"|cuánt[oa]s?|combien|quant[oaie])\b"
)
_NAME_ASKED = rf"{_EARLY}(?:who|whom|whose|where|wer|wem|wen|wessen|wo|wohin|quién|dónde|qui|où|chi|dove|quem|onde)\b"
_YES_OR_NO = r"^\W*(?:is|are|was|were|do|does|did|can|could|will|would|should|has|have|am|may)\b"
_NUMBER = (
    r"[0-9]|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred"
    r"|thousand|million|billion|january|february|march|april|may|june|july|august|september|october|november"
    r"|december|today|tomorrow|daily|weekly|monthly|always|never|until|century|zwei|drei|vier|fünf|dos|tres|deux)\b"
)
_ONLY_NUMBERS = r"^[\s0-9.,:;%$€£/\-–()]*$"
_ASSENT = r"^\W*(?:yes|no|yeah|nope|sure|certainly|of course|ja|nein|sí|oui|non|sim|não)\b"


def relevance(batch: pa.Table) -> pa.Table:
    """raw_value: how many content words question and answer have in common, 0 to 1, of the geometric mean of both.

    Where a question asks for a number, a person or place, or yes or no, and the answer is short, it counts too whether
    the answer is of that kind. Words are compared without case and ending; scripts without spaces letter by letter.
    Null where neither words nor kind can tell: no content word, or an answer of a word or two. Flagged, with
    -0.5: prose of 12 content words or more that has none of those of a question, and few of a context's.
    """
    return pa.concat_tables([_score(piece) for piece in pieces(batch, LOOKED_AT)])


def _score(batch: pa.Table) -> pa.Table:
    count = batch.num_rows
    answer, question = words_by_column(batch, LOOKED_AT)
    said, asked = _content_words(answer, count), _content_words(question, count)
    common = np.bincount(question.row[_distinct(question) & question.among(answer)], minlength=count)
    kind = _kind(batch)
    overlap = common / np.sqrt(np.maximum(said * asked, 1))
    raw = np.where(np.isnan(kind), overlap, (overlap + KIND * np.nan_to_num(kind)) / (1 + KIND))
    known = ~np.isnan(kind) | ((asked > 0) & ((common > 0) | (said >= FEW)))
    prose = np.bincount(answer.row[answer.function], minlength=count) >= PROSE
    is_question = pc.match_substring_regex(text_of(batch, "query"), "[?？؟]").to_numpy()
    off_topic = (common == 0) & (asked >= FEW) & (said >= MANY) & prose & is_question
    off_topic[off_topic] = ~_from_context(batch.filter(pa.array(off_topic)))
    flagged = pa.array(off_topic)
    reason = pc.if_else(flagged, "none of the question's words", NO_REASON)
    return found(batch, flagged=flagged, score=-0.5, reason=reason, raw_value=pa.array(raw, mask=~known))


def _from_context(batch: pa.Table) -> np.ndarray:
    """Whether a fifth of the answer's content words stand in the context: then it may answer in other words."""
    answer, context = words_by_column(batch, {"response": LOOKED_AT["response"], "context": CONTEXT})
    content = _distinct(answer)
    there = np.bincount(answer.row[content & answer.among(context)], minlength=batch.num_rows)
    return 5 * there >= np.bincount(answer.row[content], minlength=batch.num_rows)


def _distinct(words: Words) -> np.ndarray:
    """The first of each content word in its row."""
    place = np.arange(len(words.word))
    first = np.zeros(words.count, np.int64)
    first[words.word[::-1]] = place[::-1]  # of several, the last one written stays
    return (first[words.word] == place) & ~words.function


def _content_words(words: Words, count: int) -> np.ndarray:
    return np.bincount(words.row[_distinct(words)], minlength=count)


def _kind(batch: pa.Table) -> np.ndarray:
    """1 where a short answer is of the kind that the question asks for, 0 where it is not, NaN where that is open."""
    query = folded(pc.utf8_slice_codeunits(text_of(batch, "query"), 0, 300))
    short = pc.and_(
        pc.less_equal(pc.utf8_length(text_of(batch)), SHORT),
        pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(text_of(batch))), 0),
    )
    text = pc.if_else(short, text_of(batch), "")
    lower = folded(text)

    def flags(value: Any) -> np.ndarray:
        return value.to_numpy().astype(bool)

    number_asked, name_asked, choice = (
        flags(pc.match_substring_regex(query, pattern)) for pattern in (_NUMBER_ASKED, _NAME_ASKED, _YES_OR_NO)
    )
    number, only_numbers, assent = (
        flags(pc.match_substring_regex(lower, pattern)) for pattern in (_NUMBER, _ONLY_NUMBERS, _ASSENT)
    )
    named = flags(pc.match_substring_regex(text, r"\p{Lu}|\p{Lo}")) & ~only_numbers & ~assent
    kind = np.select(
        [choice & assent, choice, number_asked, name_asked], [1.0, np.nan, number & ~assent, named], default=np.nan
    )
    return np.where(flags(short), kind, np.nan)


DETECTOR = Detector(
    name="lexical_relevance",
    version="1",
    better="high",
    cost_us=60.0,
    cannot_see="the same subject in other words, and the same words about another subject; whether the answer is right "
    "(one made to look relevant scores higher); what the conversation before was about; requests to write something, "
    "whose answers need no word of them; what stands after an answer's first 4,000 characters",
    needs=("response", "query", "context"),
    score=relevance,
)
