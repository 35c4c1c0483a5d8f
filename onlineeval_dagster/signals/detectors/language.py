"""Answers in another language than their question.

The languages of two texts are told by their commonest small words (tongues.py) or their script, each word of a batch
looked up once. Thresholds were chosen from a dozen on sentences of the test set that the package eld 1.0 carries (1,000
a language, one as the question and three as the answer); in another draw from it of 500 pairs a language 0.05 % of the
pairs in one language were flagged and 16 % told nothing; of pairs in two languages 82 % were flagged and 17 % told
nothing. Of pairs in languages it does not know 0.3 % were flagged.
"""

# pyarrow.compute makes its functions when it is imported, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.signals.detectors.interface import NO_REASON, Detector, folded, found, text_of
from onlineeval_dagster.signals.detectors.tongues import NAMES_A_LANGUAGE, SAME, SCRIPTS, SMALL_WORDS

READ = 400
"""Characters of a text that tell its language: some 70 words, 30 of them small."""
TELLS_ANSWER, TELLS_QUESTION = 2.2, 1.2
"""Small words of one language alone (or letters of its script worth as many) by which a text says what it is in. A word
of three languages counts a third."""
SMALL_SHARE = 0.1
"""Of the words of a text, the share of small ones below which it is a list, code or names."""
ANOTHER = 0.6
"""raw_value from which it is another language: near relatives (Swedish, Danish) come to 0.3 to 0.7, most pairs to 1."""
NEAR = 1_000
"""Characters before and in a question in which a language that is named counts."""

LANGUAGES = (*SMALL_WORDS, *SCRIPTS)
_NOT_PROSE = r"(?s:```.*?(?:```|$))|`[^`\n]*`|https?://\S+|(?m:^\s*>.*$)|(?m:^.*(?:[{}=]|\(\)|\);|</).*$)"
_AROUND = "".join(chr(mark) for mark in range(33, 127) if not chr(mark).isalnum()) + "“”„«»…¿¡،؟؛।–—•"
_OTHER_SCRIPT = r"[^\p{Latin}\p{Common}\p{Inherited}\p{Cyrillic}\p{Arabic}]"


def language_mismatch(batch: pa.Table) -> pa.Table:
    """-0.8 where the answer is in another language than the question, or than the row's `language` if the question is
    too short to tell.

    raw_value, 0 to 1: how much more of the answer speaks for its language than for the question's, or of the question
    for its own than for the answer's, whichever is less. Null where one of them does not tell its language, and where
    the question or the conversation names a language or asks for a translation.
    """
    (answer, answer_tells), (question, question_tells) = (
        _evidence(text_of(batch, name), least)
        for name, least in (("response", TELLS_ANSWER), ("query", TELLS_QUESTION))
    )
    stated = _stated(batch.column("language"))
    question = np.where(question_tells[:, None], question, stated)
    tells = answer_tells & (question.max(axis=1) > 0) & ~_named(batch)
    its, asked, row = answer.argmax(axis=1), question.argmax(axis=1), np.arange(batch.num_rows)
    alike = np.maximum(_share(answer, row, asked, its), _share(question, row, its, asked))
    raw_value = pa.array(1 - alike, mask=~tells)
    reason = pc.binary_join_element_wise(
        pc.take(pa.array(LANGUAGES), pa.array(its)), pc.take(pa.array(LANGUAGES), pa.array(asked)), " to "
    )
    mismatch = pc.fill_null(pc.greater_equal(raw_value, ANOTHER), False)
    reason = pc.if_else(mismatch, reason, NO_REASON)
    return found(batch, flagged=mismatch, score=-0.8, reason=reason, raw_value=raw_value)


def _evidence(texts: Any, least: float) -> tuple[np.ndarray, np.ndarray]:
    """(rows, LANGUAGES): the small words of each language in a text's first 400 characters of prose; and for each row
    whether those of the foremost language say enough.
    """
    texts = pc.utf8_slice_codeunits(texts, 0, 2 * READ).combine_chunks()
    texts = pc.utf8_slice_codeunits(pc.replace_substring_regex(texts, _NOT_PROSE, " "), 0, READ)
    evidence, telling = _by_words(texts)
    foreign = pc.match_substring_regex(texts, _OTHER_SCRIPT)
    rows = np.flatnonzero(foreign.to_numpy(zero_copy_only=False))
    evidence[rows, len(SMALL_WORDS) :] = telling[rows, len(SMALL_WORDS) :] = _by_script(texts.filter(foreign))
    return evidence, telling[np.arange(len(texts)), evidence.argmax(axis=1)] >= least


def _by_words(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(rows, LANGUAGES) twice: a word of k languages counts 1 / sqrt(k) for each, to compare languages by, and 1 / k,
    to see whether there is anything that other languages do not have.
    """
    words = pc.ascii_split_whitespace(pc.replace_substring(folded(texts), "'", " "))
    row = pc.list_parent_indices(words).to_numpy(zero_copy_only=False).astype(np.int64)
    spelled = pc.dictionary_encode(pc.list_flatten(words))
    known, there = _small_words()
    place = pc.index_in(pc.utf8_trim(spelled.dictionary, _AROUND), value_set=known)
    place = pc.fill_null(place, len(known)).to_numpy(zero_copy_only=False)
    code = place[spelled.indices.to_numpy(zero_copy_only=False)]
    small = code < len(known)
    # A list of names, or code, has small words by accident.
    among = np.bincount(row, minlength=len(texts)) * SMALL_SHARE
    prose = (np.bincount(row[small], minlength=len(texts)) >= among).astype(float)
    # Each word once a text: "me me me" is one word.
    row, code = np.divmod(pc.unique(pa.array(row[small] * len(known) + code[small])).to_numpy(), len(known))
    shared_by = there.sum(axis=1)
    evidence, telling = np.zeros((2, len(texts), len(LANGUAGES)))
    for language in range(len(SMALL_WORDS)):
        its = there[code, language]
        for counts, weight in ((evidence, shared_by**-0.5), (telling, 1 / shared_by)):
            counts[:, language] = np.bincount(row[its], weight[code[its]], minlength=len(texts)) * prose
    return evidence, telling


def _by_script(texts: pa.Array) -> np.ndarray:
    letters = {
        language: pc.count_substring_regex(texts, script).to_numpy(zero_copy_only=False)
        for language, (script, _) in SCRIPTS.items()
    }
    # Japanese is written with both, Chinese never with kana.
    japanese = letters["ja"] * 10 > letters["zh"]
    letters["ja"] = np.where(japanese, letters["ja"] + letters["zh"], 0)
    letters["zh"] = np.where(japanese, 0, letters["zh"])
    return np.stack([letters[language] / worth for language, (_, worth) in SCRIPTS.items()], axis=1)


def _stated(languages: Any) -> np.ndarray:
    """(rows, LANGUAGES): 1 where the row says so: "de", "de-DE", "DE_at"."""
    code = pc.replace_substring_regex(pc.utf8_lower(languages), r"[-_].*$", "")
    names = [*LANGUAGES, *SAME]
    meant = np.array([*(LANGUAGES.index(SAME.get(name, name)) for name in names), -1])
    place = pc.fill_null(pc.index_in(code, value_set=pa.array(names)), len(names)).to_numpy()
    return (meant[place][:, None] == np.arange(len(LANGUAGES))).astype(float)


def _named(batch: pa.Table) -> np.ndarray:
    """Where another language is perhaps what was asked for, in the question or shortly before."""
    before, question = text_of(batch, "conversation"), text_of(batch, "query")
    said = [pc.utf8_slice_codeunits(before, -NEAR, None), pc.utf8_slice_codeunits(question, 0, NEAR)]
    said.append(pc.utf8_slice_codeunits(question, -NEAR, None))
    names = pc.match_substring_regex(folded(pc.binary_join_element_wise(*said, " ")), NAMES_A_LANGUAGE)
    return names.to_numpy()


def _share(evidence: np.ndarray, row: np.ndarray, part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return evidence[row, part] / np.maximum(evidence[row, whole], 1e-9)


@cache
def _small_words() -> tuple[pa.Array, np.ndarray]:
    """The small words, and (words, languages) whose they are."""
    languages = [frozenset(words.split()) for words in SMALL_WORDS.values()]
    known = sorted(frozenset[str]().union(*languages))
    return pa.array(known), np.array([[word in language for language in languages] for word in known])


DETECTOR = Detector(
    name="language_mismatch",
    version="1",
    cost_us=20.0,
    cannot_see="answers and questions of a few words without a stated language; languages outside some forty, and "
    "close relatives (Danish and Norwegian, Malay and Indonesian, Croatian and Serbian); Hindi and Arabic in Latin "
    "letters; a change of language after 400 characters; whether an answer in a language that was named is in that one",
    needs=("response", "query", "conversation", "language"),
    score=language_mismatch,
)
