"""Answers that say what the given context does not."""

# pyarrow.compute makes its functions when it is imported, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.signals.detectors.interface import NO_REASON, Detector, found, text_of
from onlineeval_dagster.signals.detectors.words import Words, language_hits, pieces, words_by_column

CONTEXT = 50_000  # characters; of a longer context nothing is said: what is missing may stand in its rest
LOOKED_AT = {"response": 4_000, "query": 4_000, "context": CONTEXT}
CLAIMS = 25  # content words; fewer may be small talk
LITTLE = 0.2  # share of them; with less in the context, the answer is about something else


def groundedness(batch: pa.Table) -> pa.Table:
    """raw_value: how much of what the answer adds to the question stands in the context, 0 to 1.

    It is the mean of up to three shares: of the content words that stand there, of the neighbouring words that stand
    side by side there (the context's words in another order make another claim), and of the numbers. Words are compared
    without case and ending, numbers by value. Null where there is no context, no content word ("yes") or another
    language.
    Flagged, with raw_value - 1 (at most -0.5): numbers and names that are in neither context nor question, and long
    answers that have little of the context.
    """
    return pa.concat_tables([_score(piece) for piece in pieces(batch, LOOKED_AT)])


def _score(batch: pa.Table) -> pa.Table:
    count = batch.num_rows
    answer, question, context = words_by_column(batch, LOOKED_AT)

    def per_row(which: np.ndarray) -> np.ndarray:
        return np.bincount(answer.row[which], minlength=count)

    there, asked = answer.among(context), answer.among(question)
    counted = _counted(answer, asked, count)
    side_by_side, missing = answer.pairs_among(context), ~there & ~asked
    pairs = np.zeros_like(counted)
    pairs[:-1] = (counted[:-1] | counted[1:]) & ~answer.begins[1:]
    words, words_there = per_row(counted), per_row(counted & there)
    figures = counted & answer.large
    raw = _mean(
        _share(words_there, words),
        _share(per_row(pairs & side_by_side), per_row(pairs)),
        _share(per_row(figures & there), per_row(figures)),
    )
    tells = np.isin(np.arange(count), context.row) & ~_other_language(answer, context, count)
    tells &= pc.less_equal(pc.utf8_length(text_of(batch, "context")), CONTEXT).to_numpy()
    known = ~np.isnan(raw) & tells

    numbers = np.where(known, per_row(missing & answer.large), 0)
    names = known & (per_row(_names(answer, missing)) > 0)
    astray = known & (words >= CLAIMS) & (words_there < LITTLE * words)
    raw_value = pa.array(raw, mask=~known)
    return found(
        batch,
        flagged=pa.array((numbers > 0) | names | astray),
        score=pc.min_element_wise(pc.subtract(raw_value, 1.0), -0.5),
        reason=_reason(numbers, names, astray),
        raw_value=raw_value,
    )


def _counted(answer: Words, asked: np.ndarray, count: int) -> np.ndarray:
    """The content words that the question does not have; all of them where it has all ("the red one")."""
    content = ~answer.function
    fresh = content & ~asked
    only_repeats = np.bincount(answer.row[fresh], minlength=count) == 0
    return fresh | (content & only_repeats[answer.row])


def _names(answer: Words, missing: np.ndarray) -> np.ndarray:
    """Two missing words with capitals side by side, and a small word next to them: "the film by Steven Spielberg".

    One capital may begin a sentence, and in German any noun; three without a small word around are a heading.
    """
    capital = missing & answer.capital & ~answer.function & ~answer.number
    small, joined = ~answer.capital, ~answer.begins
    names = np.zeros_like(capital)
    names[:-1] = capital[:-1] & capital[1:] & joined[1:]
    beside = np.zeros_like(capital)
    beside[1:] |= small[:-1] & joined[1:]
    beside[:-2] |= small[2:] & joined[2:]
    return names & beside


def _other_language(answer: Words, context: Words, count: int) -> np.ndarray:
    """Where both texts tell their language, and each has less than half as many words of the other's as of its own."""
    rows = np.arange(count)
    said, given = language_hits(answer, count), language_hits(context, count)
    mine, theirs = said.argmax(axis=1), given.argmax(axis=1)
    told = (said[rows, mine] >= 4) & (given[rows, theirs] >= 4)
    strange = 2 * said[rows, theirs] < said[rows, mine]
    return told & strange & (2 * given[rows, mine] < given[rows, theirs])


def _mean(*shares: np.ndarray) -> np.ndarray:
    """Of those that there are; NaN where there are none."""
    known = ~np.isnan(shares)
    return _share(np.where(known, shares, 0).sum(axis=0), known.sum(axis=0))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """NaN where there is nothing to have a share of."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _reason(numbers: np.ndarray, names: np.ndarray, astray: np.ndarray) -> pa.Array:
    """What is not supported, by kind, the plainest first; null where nothing is flagged."""
    reason = pc.if_else(pa.array(astray), "most of its words are not in the context", NO_REASON)
    reason = pc.if_else(pa.array(names), "a name that is not in the context", reason)
    several = pc.binary_join_element_wise(pc.cast(pa.array(numbers), pa.string()), "numbers not in the context", " ")
    reason = pc.if_else(pa.array(numbers > 1), several, reason)
    return pc.if_else(pa.array(numbers == 1), "1 number not in the context", reason)


DETECTOR = Detector(
    name="lexical_groundedness",
    version="1",
    better="high",
    cost_us=150.0,
    cannot_see="a paraphrase (it reads as less grounded) and a false claim made of the context's own words; negation; "
    "sums and rounded numbers; numbers up to 3, and of two digits with a full stop; answers in another language than "
    "the context and contexts of more than 50,000 characters (null); what stands after an answer's first 4,000",
    needs=("response", "query", "context"),
    score=groundedness,
)
