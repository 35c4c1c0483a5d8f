"""What users ask and the assistant answers in the simulated shop: good answers, and bad ones of four stated kinds."""

import random
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Quality = Literal["good", "off_topic", "refusal", "cut_off", "unsupported"]
QUALITIES: tuple[Quality, ...] = ("good", "off_topic", "refusal", "cut_off", "unsupported")
"""`good`, then the kinds of bad answer: to another question, none, broken off, with numbers the page does not say."""

Tone = Literal["plain", "warm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One subject people ask about; see topics.toml."""

    language: str
    about: str
    n: tuple[int, ...]
    m: tuple[int, ...]
    passage: str
    questions: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """How assistant and users speak in one language."""

    items: tuple[str, ...]
    plain: tuple[str, ...]
    warm: tuple[str, ...]
    refusals: tuple[str, ...]
    complaints: tuple[str, ...]
    follow_ups: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """All topics and phrases, by language."""

    topics: dict[str, tuple[Topic, ...]]
    phrases: dict[str, Phrases]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One question with the page looked up for it and the answer given."""

    topic: Topic
    query: str
    context: str
    response: str


def load_corpus() -> Corpus:
    """The packaged topics.toml."""
    raw = tomllib.loads((Path(__file__).parent / "topics.toml").read_text(encoding="utf-8"))
    topics = [Topic(**_frozen(entry)) for entry in raw["topics"]]
    languages = {language: Phrases(**_frozen(entry)) for language, entry in raw["phrases"].items()}
    by_language = {language: tuple(t for t in topics if t.language == language) for language in languages}
    return Corpus(topics=by_language, phrases=languages)


def exchange(
    corpus: Corpus, *, language: str, quality: Quality, tone: Tone, previous: Exchange | None, rng: random.Random
) -> Exchange:
    """One turn. A later turn stays on its session's topic three times out of five."""
    stays = previous is not None and rng.random() < 0.6
    topic = previous.topic if previous is not None and stays else rng.choice(corpus.topics[language])
    phrases = corpus.phrases[language]
    facts = {"item": rng.choice(phrases.items), "n": rng.choice(topic.n), "m": rng.choice(topic.m)}
    query = rng.choice(topic.questions).format(**facts)
    if language == "en" and rng.random() < 0.01:
        query += _contact(rng)
    return Exchange(
        topic=topic,
        query=query,
        context=topic.passage.format(**facts),
        response=_answer(corpus, topic, facts, quality=quality, tone=tone, rng=rng),
    )


def follow_up(corpus: Corpus, asked: Exchange, *, satisfied: bool, rng: random.Random) -> str:
    """What the user writes next: thanks and more, or a complaint."""
    phrases = corpus.phrases[asked.topic.language]
    return rng.choice(phrases.follow_ups if satisfied else phrases.complaints).format(query=asked.query)


def _answer(
    corpus: Corpus, topic: Topic, facts: dict[str, Any], *, quality: Quality, tone: Tone, rng: random.Random
) -> str:
    phrases = corpus.phrases[topic.language]
    if quality == "refusal":
        return rng.choice(phrases.refusals).format(about=topic.about)
    if quality == "off_topic":
        others = [other for other in corpus.topics[topic.language] if other is not topic]
        topic = rng.choice(others)
        facts = {"item": rng.choice(phrases.items), "n": rng.choice(topic.n), "m": rng.choice(topic.m)}
    if quality == "unsupported":
        facts = facts | {name: _another(getattr(topic, name), facts[name], rng) for name in ("n", "m")}
    frames = phrases.warm if tone == "warm" else phrases.plain
    text = rng.choice(frames).format(text=rng.choice(topic.answers).format(**facts))
    return _cut(text, rng) if quality == "cut_off" else text


def _another(choices: tuple[int, ...], true: int, rng: random.Random) -> int:
    return rng.choice([choice for choice in choices if choice != true])


def _cut(text: str, rng: random.Random) -> str:
    """The first 15 to 80 % of the words, ending inside a sentence."""
    words = text.split()
    kept = words[: max(2, int(len(words) * rng.uniform(0.15, 0.8)))]
    while len(kept) > 2 and kept[-1][-1] in ".!?":
        kept.pop()
    return " ".join(kept).rstrip(".!?")


def _contact(rng: random.Random) -> str:
    # example.com and 555-01xx are reserved for fiction: nobody is reached by them.
    if rng.random() < 0.5:
        return f" You can reach me at anna.{rng.randrange(1000)}@example.com."
    return f" My number is +1 202-555-01{rng.randrange(100):02d}."


def _frozen(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
