"""Embedded judges: a score for text without key, model or network. Pure and deterministic.

`overlap` scores relevance from words alone. It sees an answer that is empty, that declines, that breaks off, that
shares no content word with the question, or whose numbers and negations go against the given context. It cannot see:
a fluent answer on the right subject that is wrong, an asked part left open in other words, synonyms and paraphrase
(a good short answer such as a bare name shares nothing with its question), irony, and anything that needs knowledge.
It is made for English; of German and Spanish it knows stop words and refusals only. It is a stand-in until a real
judge is configured, and a floor to compare one with.

A change here that moves a score raises LOCAL_ALGORITHMS in catalog/judge_file.py (a test holds a fingerprint).
"""

import re
from collections.abc import Callable

from onlineeval_dagster.catalog.judge_file import LOCAL, Judge
from onlineeval_dagster.judges.words import DANGLING, GENERIC, REFUSAL, WORD, content, stem, stems
from onlineeval_dagster.judges.work import Reading, WorkItem

LONGEST = 20_000
"""Characters of each text that are read, so that one huge context does not hold up the rest."""

OFF_TOPIC_BELOW = 0.15
ON_TOPIC_FROM = 0.25
"""Share of the question's words (by weight) found in the answer: below the first it is off topic, from the second on
topic. Set on halueval_general answers against the same answers shuffled, see tests/judges/test_local_real.py."""

UNSUPPORTED_BELOW = 0.3
SUPPORTED_FROM = 0.6
"""Share of the answer's words found in the context, where there is one: too few, and enough to bridge other words."""

SAME_SENTENCE_FROM = 0.6
"""Jaccard similarity from which two sentences speak of the same thing, so that a turned negation contradicts."""

REFUSES_WITHIN = 160
"""Characters: a refusal comes at once, a late "I can't …" is advice."""

SENTENCES_TOLD, SENTENCES_SAID = 400, 40
"""Sentences of context and answer that are compared in pairs."""

_LIST_MARK = re.compile(r"^\s*(?:[-*•#>|]+|\d+[.)])\s*", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")
_NEGATION = re.compile(r"\b(not|no|never|cannot|without|neither|nor|none)\b|n't\b")
_WANTS = (
    (
        re.compile(
            r"\b(when|what (year|date|day|time)|which year|how (many|much|long|old|tall|far|often)|what number)\b"
        ),
        re.compile(
            r"\d|\b(one|two|three|four|five|six|seven|eight|nine|ten|dozen|hundred|daily|monthly|weekly|century|today)\b",
            re.I,
        ),
    ),
    (re.compile(r"\b(who|whose|where|which|what)\b"), re.compile(r"\b[A-Z][\w'.-]+|\b[a-z]{3,}")),
)
_BARE = 8  # words: shorter answers may be right without sharing a word with the question


def score(judge: Judge, item: WorkItem) -> Reading:
    """What the embedded judge that `judge.model` names says of one response."""
    return _JUDGES[judge.model.removeprefix(LOCAL)](judge, item)


def overlap(judge: Judge, item: WorkItem) -> Reading:
    """Relevance as the lowest, middle or highest score of the judge's scale; `unreadable` where words tell nothing.

    A scale of two has no middle; what would be middling is then its lowest.
    """
    level, reason = _relevance(item)
    if level is None:
        return Reading(error_kind="unreadable", message=reason)
    steps = list(judge.scale)
    middle = steps[(len(steps) - 1) // 2]
    return Reading(score={1: steps[0], 2: middle, 3: steps[-1]}[level], rationale=reason)


_JUDGES: dict[str, Callable[[Judge, WorkItem], Reading]] = {"overlap": overlap}


def _relevance(item: WorkItem) -> tuple[int | None, str]:
    answer = _plain(item.response)
    if not re.search(r"\w", answer):
        return 1, "the answer is empty"
    if REFUSAL.search(answer[:REFUSES_WITHIN].lower()):
        return 1, "the answer declines"
    query, context = _plain(item.query), _plain(item.context or "")
    asked = _weights(query) or _weights(_plain(item.conversation or "")[-2000:])
    if not asked:
        return None, "the question has no content word that the local judge could look for"
    said, told = frozenset(stems(answer)), frozenset(stems(context))
    level, reason = _on_topic(asked, said, told, is_bare=_is_bare(query, answer))
    if level > 1 and told and (against := _against(answer, context, query)):
        return 2, against
    if level > 1 and _cut_off(answer):
        return 2, "the answer breaks off"
    return level, reason


def _on_topic(asked: dict[str, float], said: frozenset[str], told: frozenset[str], *, is_bare: bool) -> tuple[int, str]:
    """How far the words of the answer serve the words of the question, with the context as a bridge between the two."""
    found, linked = _share(asked, said), _share(asked, told)
    rests = len(said & told) / len(said) if said and told else None
    if is_bare and (rests is None or rests == 1):
        return 3, "a bare answer of the kind that was asked for"
    if rests is not None and rests < UNSUPPORTED_BELOW:
        return (2 if found >= ON_TOPIC_FROM else 1), f"only {rests:.0%} of its words are in the given context"
    if rests is not None and rests >= SUPPORTED_FROM and (found > 0 or linked > 0):
        return 3, "rests on the given context, which touches the question"
    if found >= ON_TOPIC_FROM:
        return 3, f"shares {found:.0%} of the question's words"
    if found >= OFF_TOPIC_BELOW:
        return 2, f"shares only {found:.0%} of the question's words"
    return 1, f"shares {found:.0%} of the question's words"


def _share(asked: dict[str, float], words: frozenset[str]) -> float:
    return sum(weight for stem, weight in asked.items() if stem in words) / sum(asked.values())


def _is_bare(query: str, answer: str) -> bool:
    return len(WORD.findall(answer)) <= _BARE and _fits(query, answer)


def _fits(query: str, answer: str) -> bool:
    """True where a short answer is of the kind that the question word asks for: a number for `how many`."""
    lowered = query.lower()
    kind = next((wanted for asks, wanted in _WANTS if asks.search(lowered)), None)
    return kind is not None and kind.search(answer) is not None


def _against(answer: str, context: str, query: str) -> str | None:
    """Why the answer goes against the context: a number that it does not hold, or a negation turned round."""
    known = {*_numbers(context), *_numbers(query)}
    if _numbers(context) and not known.issuperset(_numbers(_LIST_MARK.sub("", answer))):
        return "a number is not in the given context"
    told = [(frozenset(stems(part)), part) for part in _SENTENCE.split(context, SENTENCES_TOLD)]
    for part in _SENTENCE.split(answer, SENTENCES_SAID):
        claimed = frozenset(stems(part))
        likeness, near = max((_likeness(claimed, words), sentence) for words, sentence in told)
        if likeness >= SAME_SENTENCE_FROM and _negates(part) != _negates(near):
            return "says the opposite of the given context"
    return None


def _negates(text: str) -> bool:
    return _NEGATION.search(text.lower()) is not None


def _likeness(some: frozenset[str], others: frozenset[str]) -> float:
    """Jaccard similarity of two sentences; 0 for sentences too short to compare."""
    return len(some & others) / len(some | others) if len(some) >= 3 else 0.0


def _cut_off(answer: str) -> bool:
    """True where sentences stop without an end mark, or a text ends on a word that needs another one."""
    tail = answer.rstrip()
    words = WORD.findall(tail)
    if len(words) > 3 and (tail[-1] in ",;-–(" or (tail[-1].isalnum() and words[-1].lower() in DANGLING)):
        return True
    last_line = tail.rsplit("\n", 1)[-1]
    if not tail[-1].isalnum() or _LIST_MARK.match(last_line) or re.search(r"\w+://\S+$|```|\|", last_line):
        return False
    return len(words) > _BARE or re.search(r"[.!?]\s", tail) is not None


def _numbers(text: str) -> list[str]:
    return [word.replace(",", "").rstrip(".") for word in WORD.findall(text) if word[0].isdigit()]


def _weights(text: str) -> dict[str, float]:
    """Content stems of a question with their weight: generic words count a third, there is no corpus to count in."""
    return {stem(word): 1 / 3 if word in GENERIC else 1.0 for word in content(text)}


def _plain(text: str) -> str:
    return text[:LONGEST].replace("’", "'")
