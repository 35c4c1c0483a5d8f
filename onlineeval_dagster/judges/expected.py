"""The score that a model would give on average, from the chances of the tokens that could have stood for its score.

G-Eval (Liu et al. 2023, equation 1) weighs each score by its probability: finer than the one that was drawn.
"""

import math
import re
from collections.abc import Sequence

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.judges.work import Token

LEAST_MASS = 0.5
"""Chance that must lie on scores of the scale, so that the place found is that of the score."""

_BEFORE = re.compile(r"(?:\bscore|\brating|\bgrade)[\"'*_`]*\s*(?:is|of|[:=])?[\s\"'*_`\[(]*\Z|\A\W*\Z", re.IGNORECASE)


def expected_score(judge: Judge, tokens: Sequence[Token], *, said: str) -> float | None:
    """Σ score · p / Σ p over the tokens that are scores of the scale, where the reply has its score, `said`.

    None where that place is not found, or a score is no single token: then nothing is known of the others' chances.
    """
    if any(len(str(score)) > 1 and not judge.labels for score in judge.scale):
        return None
    before = ""
    for token in tokens:
        if _BEFORE.search(before) and _stands_for(token.text, said):
            return _mean(judge, token, is_label=not said.lstrip("-").isdigit())
        before += token.text
    return None


def _stands_for(token: str, said: str) -> bool:
    word = token.strip().lower()
    return bool(word) and said.lower().startswith(word)


def _mean(judge: Judge, token: Token, *, is_label: bool) -> float | None:
    mass: dict[int, float] = {}
    for text, logarithm in token.chances.items():
        score = _score(judge, text.strip().lower(), is_label=is_label)
        if score is not None:
            mass[score] = mass.get(score, 0.0) + math.exp(logarithm)
    total = sum(mass.values())
    return sum(score * chance for score, chance in mass.items()) / total if total >= LEAST_MASS else None


def _score(judge: Judge, word: str, *, is_label: bool) -> int | None:
    """The score that a token stands for; None where it stands for none, or begins labels of several scores."""
    if not word:
        return None
    if is_label:
        fitting = {score for label, score in judge.labels.items() if label.startswith(word)}
        return fitting.pop() if len(fitting) == 1 else None
    return int(word) if re.fullmatch(r"\d", word) and int(word) in judge.scale else None
