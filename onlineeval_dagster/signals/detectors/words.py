"""The words of many texts at once, so that detectors can ask which of them stand in another text of the same row.

A text is split at spaces; everything that looks at letters is done once for each distinct word of a batch, not for
each word. Scripts without spaces are read letter by letter, so that their pairs of letters are what pairs of words are
elsewhere.
"""

# pyarrow.compute makes its functions when it is imported, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.signals.detectors.function_words import FUNCTION_WORDS, NUMBER_WORDS
from onlineeval_dagster.signals.detectors.interface import text_of

_NO_SPACES = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_SCRIPTS = {"no spaces": _NO_SPACES, "cyrillic": r"\p{Cyrillic}", "arabic": r"\p{Arabic}"}
_AROUND = (
    "".join(chr(mark) for mark in range(33, 127) if not chr(mark).isalnum()) + "“”‘’«»„…·•。！？：；、，「」（）।€£°"
)
_ENDS = r"[.!?:;…。！？：；।][\"'”’»)\]*_]*$"
_LITTLE = r"^(?:\p{Hiragana}|[的了是在和有不也就都]|[\p{Latin}\p{Cyrillic}\p{Greek}])$"
_ELISION = r"^(?:[cdjlmnst]|qu|un|dell|all|nell|sull|dall)'(\p{L})"
_NUMBER = r"^[0-9]+(?:[.:][0-9]+)*$"
_ENDINGS = (("'s", "es", "s"), ("ing", "ed", "en", "er", "ly", "e", "y", "i"))  # one of each: waters, water, wat
_STEM = 3  # letters that must be left
PIECE = 4_000_000  # characters worked on at a time: the more, the fewer distinct words for each; some 200 MB of memory

LANGUAGES = (*FUNCTION_WORDS, *_SCRIPTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The words of one text column: one entry a word, in the order of the texts.

    row       the row it stands in
    word      a number for what it comes down to in its row: without case, ending and marks; 1,200 and 1200 are one.
              The same in all columns read together; there are `count` of them
    begins    it is the first of its sentence or line
    function  it says nothing by itself: "the", "und", "yes"
    number    it is a number; `large`: one of digits, above 3, and no list mark ("2.")
    capital   it has a capital letter
    language  its bits: languages (by LANGUAGES) whose function word or letter it is
    """

    row: np.ndarray
    word: np.ndarray
    begins: np.ndarray
    function: np.ndarray
    number: np.ndarray
    large: np.ndarray
    capital: np.ndarray
    language: np.ndarray
    count: int

    def among(self, others: "Words") -> np.ndarray:
        """Which of the words stand in the same row of `others`."""
        there = np.zeros(self.count, bool)
        there[others.word] = True
        return there[self.word]

    def pairs_among(self, others: "Words") -> np.ndarray:
        """Which of the words stand in `others` with the same word after them, both in one sentence."""
        mine = np.flatnonzero(self._followed_among(others))
        theirs = np.flatnonzero(others._followed_among(self))
        keys, given = (
            words.word[at] * self.count + words.word[at + 1] for words, at in ((self, mine), (others, theirs))
        )
        found = np.zeros(len(self.word), bool)
        found[mine[_array(pc.is_in(pa.array(keys), value_set=pa.array(given)))]] = True
        return found

    def _followed_among(self, others: "Words") -> np.ndarray:
        """Words that go on in their sentence, where both are among `others`: only these can be one of their pairs."""
        there = self.among(others)
        return there[:-1] & there[1:] & ~self.begins[1:]


def pieces(batch: pa.Table, limits: Mapping[str, int]) -> Iterator[pa.Table]:
    """Slices of some PIECE characters, counting at most `limits` of each text column; one at least, even if empty."""
    lengths = [pc.min_element_wise(pc.utf8_length(text_of(batch, name)), cap) for name, cap in limits.items()]
    piece = np.cumsum(sum(length.to_numpy().astype(np.int64) for length in lengths)) // PIECE
    bounds = [0, *(np.flatnonzero(np.diff(piece)) + 1).tolist(), batch.num_rows]
    return (batch.slice(first, last - first) for first, last in pairwise(bounds))


def words_by_column(batch: pa.Table, limits: Mapping[str, int]) -> tuple[Words, ...]:
    """The words of each text column's first characters (`limits` says how many), in time linear in their length."""
    texts = [pc.utf8_slice_codeunits(text_of(batch, name).combine_chunks(), 0, cap) for name, cap in limits.items()]
    split = pc.ascii_split_whitespace(_spaced(pa.concat_arrays(texts)))
    spelled = pc.dictionary_encode(pc.list_flatten(split))
    text = pc.list_parent_indices(split).to_numpy(zero_copy_only=False).astype(np.int64)
    code = spelled.indices.to_numpy(zero_copy_only=False)
    form_of, kept, capital, mark, ends, forms = _spellings(spelled.dictionary)
    # A mark that stands alone ("-", "##") begins what comes after it, as the end of a sentence does.
    begins = np.ones(len(code), bool)
    begins[1:] = ends[code[:-1]] | (text[1:] != text[:-1])
    stays = kept[code]
    text, code, begins = text[stays], code[stays], begins[stays]
    form = form_of[code]
    terms, number, large, function, language = _forms(forms)
    rows, columns = max(batch.num_rows, 1), len(limits)
    word = pc.dictionary_encode(pa.array(text % rows * (len(forms) + 1) + terms[form]))
    whole = {
        "row": text % rows,
        "word": word.indices.to_numpy(zero_copy_only=False).astype(np.int64),
        "begins": begins,
        "function": function[form],
        "number": number[form],
        "large": large[form] & ~mark[code],
        "capital": capital[code],
        "language": language[form],
    }
    bounds = np.searchsorted(text, np.arange(columns + 1) * rows)
    cut = ({name: whole[name][low:high] for name in whole} for low, high in pairwise(bounds))
    return tuple(Words(count=len(word.dictionary), **column) for column in cut)


def language_hits(words: Words, count: int) -> np.ndarray:
    """(count, languages): how many words of each row speak for each of LANGUAGES."""
    telling = words.language > 0
    row, language = words.row[telling], words.language[telling]
    hits = [np.bincount(row[language >> place & 1 > 0], minlength=count) for place in range(len(LANGUAGES))]
    return np.stack(hits, axis=1)


def _spaced(texts: pa.Array) -> pa.Array:
    """Spaces between all words, and a full stop for each new line."""
    texts = pc.replace_substring(texts, "\n", " . ")
    for mark in "-/":
        texts = pc.replace_substring(texts, mark, " ")
    texts = pc.replace_substring_regex(texts, r"([^A-Z][.!?])([A-Z])", r"\1 \2")  # "… in Hamburg.James Mulgrew …"
    return _where(pc.invert(pc.string_is_ascii(texts)), texts, _spaced_beyond_ascii)


def _spaced_beyond_ascii(texts: Any) -> Any:
    for mark in "–—\u00a0\u3000":  # one by one is 10 times as fast as a class of them
        texts = pc.replace_substring(texts, mark, " ")
    return pc.replace_substring_regex(texts, f"({_NO_SPACES})", r" \1 ")


def _spellings(spelled: pa.Array) -> tuple[Any, ...]:
    """Of each spelling: its form (number, into the last), whether it is a word, has a capital, is a list mark, ends."""
    core = pc.replace_substring(pc.utf8_normalize(pc.utf8_trim(spelled, _AROUND), form="NFKC"), "’", "'")
    lower = pc.utf8_lower(core)
    forms = pc.dictionary_encode(lower)
    kept, capital = _array(pc.match_substring_regex(core, r"[\p{L}\p{N}]")), _array(pc.not_equal(core, lower))
    mark = _array(pc.match_substring_regex(spelled, r"^\(?[0-9]{1,2}[.)]+$"))
    ends = _array(pc.match_substring_regex(spelled, _ENDS)) | ~kept
    return forms.indices.to_numpy(zero_copy_only=False), kept, capital, mark, ends, forms.dictionary


def _forms(forms: pa.Array) -> tuple[np.ndarray, ...]:
    """Of each form: what it comes down to (its number); whether it is a number, large, a function word; languages."""
    figures = _figures(forms)
    number = _array(pc.match_substring_regex(figures, _NUMBER))
    large = number & _array(pc.match_substring_regex(forms, r"^(?:[4-9]|[0-9]{2}|[0-9][.,:])"))
    terms = pc.dictionary_encode(pc.if_else(pa.array(number), figures, _folded(forms)))
    language = _languages(forms)
    function = (language & ((1 << len(FUNCTION_WORDS)) - 1) > 0) | _array(pc.match_substring_regex(forms, _LITTLE))
    return terms.indices.to_numpy(zero_copy_only=False), number, large, function & ~number, language


def _figures(forms: pa.Array) -> Any:
    """Numbers in one form: no thousands' marks, a point before decimals, no unit, no zeros at the end of decimals."""
    spoken = pc.index_in(forms, value_set=pa.array(list(NUMBER_WORDS)))
    figures = pc.coalesce(pc.take(pa.array(list(NUMBER_WORDS.values())), spoken), forms)

    def written(some: Any) -> Any:
        some = pc.replace_substring_regex(some, r"^([0-9][0-9.,:]*)\p{L}{1,3}$", r"\1")
        some = pc.replace_substring_regex(some, r"[,.]([0-9]{3})\b", r"\1")
        some = pc.replace_substring_regex(some, r"([0-9]),([0-9])", r"\1.\2")
        return pc.replace_substring_regex(some, r"^([0-9]+)(?:\.0+|(\.[0-9]*[1-9])0+)$", r"\1\2")

    return _where(pc.match_substring_regex(figures, r"^[0-9]"), figures, written)


def _folded(forms: pa.Array) -> Any:
    """Words without elision and endings: returned, returns and return are one, and so are Batterie and Batterien."""
    forms = _where(
        pc.match_substring(forms, "'"), forms, lambda some: pc.replace_substring_regex(some, _ELISION, r"\1")
    )
    for endings in _ENDINGS:
        length = pc.utf8_length(forms).to_numpy(zero_copy_only=False)
        cut = np.where(_array(pc.ends_with(forms, "ss")), -1, 0)
        for ending in endings:
            cut[(cut == 0) & (length >= len(ending) + _STEM) & _array(pc.ends_with(forms, ending))] = len(ending)
        for size in range(1, 4):
            forms = pc.if_else(pa.array(cut == size), pc.utf8_slice_codeunits(forms, 0, -size), forms)
    return forms


_WORD_BITS: dict[str, int] = {}
for _place, _words in enumerate(FUNCTION_WORDS.values()):
    for _word in _words.split():
        _WORD_BITS[_word] = _WORD_BITS.get(_word, 0) | 1 << _place


def _languages(forms: pa.Array) -> np.ndarray:
    """A bit for each of LANGUAGES that the word speaks for."""
    known = pc.index_in(forms, value_set=pa.array(list(_WORD_BITS)))
    bits = pc.fill_null(pc.take(pa.array(list(_WORD_BITS.values())), known), 0).to_numpy(zero_copy_only=False).copy()
    foreign = np.flatnonzero(~_array(pc.string_is_ascii(forms)))
    some = pc.take(forms, pa.array(foreign))
    for place, script in enumerate(_SCRIPTS.values(), len(FUNCTION_WORDS)):
        bits[foreign] |= _array(pc.match_substring_regex(some, script)).astype(np.int64) << place
    return bits


def _where(mask: Any, texts: Any, change: Callable[[Any], Any]) -> Any:
    """`texts`, changed where `mask` is: a change is slow, and concerns few."""
    return pc.replace_with_mask(texts, mask, change(pc.filter(texts, mask)))


def _array(flags: Any) -> np.ndarray:
    return flags.to_numpy(zero_copy_only=False).astype(bool)
