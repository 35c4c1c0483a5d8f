"""A judge is one Markdown file: TOML front matter between `---` lines, and the prompt as its body."""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, cast, get_args

from onlineeval_dagster.contracts.events import Response
from onlineeval_dagster.errors import CatalogError

Status = Literal["active", "shadow", "retired"]

LOCAL = "local/"
LOCAL_ALGORITHMS = {"overlap": "1"}
"""Embedded judges and the version of their algorithm: raised by every change to judges/ that moves a local score."""

PROTOCOL = "1"
"""Version of the wrapping and reading in judges/rubric.py: raise it with every change there that can move a score."""

TEMPLATE_FIELDS = ("query", "response", "context", "conversation")
"""The fields of a response that a judge may see."""

PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*\n?(.*)\Z", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SET_BY_US = {"model", "messages", "stream", "n"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a remote model costs, US dollars per million tokens."""

    input_usd_per_million: float
    output_usd_per_million: float

    def of(self, input_tokens: int | None, output_tokens: int | None) -> float:
        """US dollars of one call; tokens the endpoint did not report cost nothing here."""
        millions = (input_tokens or 0) * self.input_usd_per_million + (output_tokens or 0) * self.output_usd_per_million
        return millions / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """One judge of one axis, as its file says.

    scale            score → anchor, ascending, two or more
    good_from        the score from which an answer counts as good
    labels           words a reply may use for a score, such as yes → 3; lower case
    parameters       sent to the endpoint as they are: temperature, max_tokens, …
    price            None for local judges only
    rate             share of normal traffic in (0, 1]; None leaves it to the sampling policy
    concurrency      calls in flight at most
    timeout_seconds  of one call
    version          12 hex digits over all that can change an answer: prompt, model, parameters, scale, labels, code
    """

    name: str
    axis: str
    prompt: str
    scale: Mapping[int, str]
    good_from: int
    model: str
    labels: Mapping[str, int] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    price: Price | None = None
    rate: float | None = None
    status: Status = "active"
    owner: str | None = None
    concurrency: int = 8
    timeout_seconds: float = 60.0
    version: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "version", _version(self))

    @property
    def is_local(self) -> bool:
        """True where the judge runs in this process, without key, network or price."""
        return self.model.startswith(LOCAL)


def load_judges(folder: Path) -> tuple[Judge, ...]:
    """Every judge in a folder and its subfolders, sorted by name. A missing folder holds none.

    Raises CatalogError for the first file that is wrong, and for two files with one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.md")):
        twin = found.setdefault(path.stem.casefold(), path)
        if twin is not path:
            names = f"{twin.relative_to(folder)} and {path.relative_to(folder)}"
            raise CatalogError(f"{folder.name}/: two judges with the name {path.stem!r} ({names}); rename one file")
    return tuple(sorted((load_judge(path) for path in found.values()), key=lambda judge: judge.name))


def load_judge(path: Path) -> Judge:
    """The judge in one Markdown file; its name is the file's stem.

    Raises CatalogError with file, value and remedy.
    """
    place = f"{path.parent.name}/{path.name}"
    if not _NAME.fullmatch(path.stem):
        raise CatalogError(f"{place}: {path.stem!r} is no judge's name; use lower-case letters, digits, - and _ (64)")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"{place}: cannot be read ({error}); it must be a UTF-8 text file") from error
    return _Reader(place, *_parts(place, text)).judge(path.stem)


def _parts(place: str, text: str) -> tuple[dict[str, Any], str]:
    match = _FRONT_MATTER.match(text.removeprefix("\ufeff"))
    if match is None:
        raise CatalogError(f'{place}: no front matter; begin with a line ---, TOML such as axis = "tone", a line ---')
    try:
        return tomllib.loads(match[1]), match[2].strip()
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{place}: front matter is not TOML: {error}; write key = value, texts in quotes") from error


@dataclass(frozen=True, slots=True)
class _Reader:
    """Checks one file's values; every refusal names the file, the value and the remedy."""

    place: str
    front: dict[str, Any]
    body: str

    def judge(self, name: str) -> Judge:
        self._known(self.front, [key for key in Judge.__dataclass_fields__ if key not in {"name", "prompt", "version"}])
        model = self._text("model", 'such as "local/overlap" or a model of your endpoint')
        scale = self._scale()
        return Judge(
            name=name,
            axis=self._axis(),
            prompt=self._prompt(),
            scale=scale,
            good_from=self._good_from(scale),
            model=model,
            labels=self._labels(scale),
            parameters=self._parameters(),
            price=self._price(self._checked_local(model)),
            rate=self._rate(),
            status=self._status(),
            owner=self._text("owner", "a team or a person") if "owner" in self.front else None,
            concurrency=int(self._number("concurrency", low=1, high=10_000, default=8, whole=True)),
            timeout_seconds=self._number("timeout_seconds", low=0.001, high=3600, default=60.0),
        )

    def _wrong(self, what: str) -> CatalogError:
        return CatalogError(f"{self.place}: {what}")

    def _known(self, table: dict[str, Any], known: list[str], where: str = "") -> None:
        for key in table:
            if key not in known:
                near = get_close_matches(key, known, n=1, cutoff=0.5)
                remedy = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
                raise self._wrong(f"unknown key {where + key!r}; {remedy}")

    def _text(self, key: str, remedy: str) -> str:
        value = self.front.get(key)
        if not isinstance(value, str) or not value.strip() or len(value) > 256:
            found = "is missing" if key not in self.front else f"must be a text of 1 to 256 characters, got {value!r}"
            raise self._wrong(f'{key} {found}; write {key} = "…", {remedy}')
        return value

    def _axis(self) -> str:
        if isinstance(self.front.get("axis"), list):
            raise self._wrong(f"one axis per judge, got {self.front['axis']!r}; write one file for each axis")
        return self._text("axis", "what it scores, such as relevance")

    def _number(self, key: str, *, low: float, high: float, default: float, whole: bool = False) -> float:
        value = self.front.get(key, default)
        kinds = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
            kind = "a whole number" if whole else "a number"
            raise self._wrong(
                f"{key} must be {kind} from {low:g} to {high:g}, got {value!r}; {default:g} is the default"
            )
        return float(value)

    def _rate(self) -> float | None:
        rate = self.front.get("rate")
        if rate is None:
            return None
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 1:
            raise self._wrong(f"rate must be in (0, 1], got {rate!r}; write 0.1 for ten percent")
        return float(rate)

    def _status(self) -> Status:
        status = self.front.get("status", "active")
        if status not in get_args(Status):
            raise self._wrong(f"status must be one of {', '.join(get_args(Status))}, got {status!r}")
        return cast(Status, status)

    def _scale(self) -> dict[int, str]:
        example = 'write scale = { 1 = "off the question", 2 = "in part", 3 = "answers it" }'
        scale = self.front.get("scale")
        if not isinstance(scale, dict):
            raise self._wrong(f"scale must be a table of scores with their anchors, got {scale!r}; {example}")
        if len(scale) < 2:
            raise self._wrong(
                f"scale has {len(scale)} value(s), two or more are needed to tell answers apart; {example}"
            )
        for score, anchor in scale.items():
            if not re.fullmatch(r"-?\d{1,6}", score):
                raise self._wrong(f"scale: a score must be a whole number, got {score!r}; {example}")
            if not isinstance(anchor, str) or not anchor.strip():
                raise self._wrong(f"scale: the anchor of {score} is missing, got {anchor!r}; say what earns this score")
        if len({int(score) for score in scale}) < len(scale):
            raise self._wrong(f"scale: one score is there twice in {', '.join(scale)}; write each once")
        return {int(score): scale[score].strip() for score in sorted(scale, key=int)}

    def _good_from(self, scale: dict[int, str]) -> int:
        value = self.front.get("good_from")
        allowed = list(scale)[1:]
        if isinstance(value, bool) or value not in allowed:
            choices = " or ".join(map(str, allowed))
            raise self._wrong(f"good_from must be {choices} (the score from which an answer is good), got {value!r}")
        return int(value)

    def _labels(self, scale: dict[int, str]) -> dict[str, int]:
        labels = self.front.get("labels", {})
        if not isinstance(labels, dict):
            raise self._wrong(f"labels must be a table, got {labels!r}; write labels = {{ yes = 3, no = 1 }}")
        for label, score in labels.items():
            if isinstance(score, bool) or score not in scale or not re.search(r"\w", label) or len(label) > 100:
                raise self._wrong(f"labels: {label!r} = {score!r} is no word for a score of the scale {list(scale)}")
        return {label.strip().lower(): score for label, score in labels.items()}

    def _parameters(self) -> dict[str, Any]:
        parameters = self.front.get("parameters", {})
        if not isinstance(parameters, dict):
            raise self._wrong(
                f"parameters must be a table, got {parameters!r}; write parameters = {{ temperature = 0 }}"
            )
        if taken := _SET_BY_US & set(parameters):
            raise self._wrong(f"parameters may not set {', '.join(sorted(taken))}; remove it")
        try:
            json.dumps(parameters, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise self._wrong(f"parameters must be plain JSON values ({error}); write numbers and texts") from error
        return parameters

    def _checked_local(self, model: str) -> bool:
        if not model.startswith(LOCAL):
            return False
        if model.removeprefix(LOCAL) not in LOCAL_ALGORITHMS:
            known = ", ".join(LOCAL + name for name in LOCAL_ALGORITHMS)
            raise self._wrong(f"model {model!r} is not an embedded judge; known are {known}")
        return True

    def _price(self, is_local: bool) -> Price | None:
        if is_local and "price" not in self.front:
            return None
        price = self.front.get("price")
        example = "write price = { input_usd_per_million = 0.15, output_usd_per_million = 0.6 }, 0 for your own model"
        if not isinstance(price, dict):
            found = "is missing" if price is None else f"must be a table, got {price!r}"
            raise self._wrong(f"price {found}; {example}")
        keys = list(Price.__dataclass_fields__)
        self._known(price, keys, where="price.")
        for key in keys:
            value = price.get(key)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
                raise self._wrong(f"price.{key} must be US dollars, 0 or more, got {value!r}; {example}")
        return Price(**{key: float(price[key]) for key in keys})

    def _prompt(self) -> str:
        shown = ", ".join(f"{{{name}}}" for name in TEMPLATE_FIELDS)
        if not self.body:
            raise self._wrong(f"the prompt is empty; write it below the second ---, with {shown} where they belong")
        used = PLACEHOLDER.findall(self.body)
        for name in used:
            if name not in TEMPLATE_FIELDS:
                exists = "is not shown to judges" if name in Response.model_fields else "is not a field of a response"
                raise self._wrong(f"the prompt names {{{name}}}, which {exists}; there are {shown}")
        if "response" not in used:
            raise self._wrong("the prompt never names {response}, so there is nothing to judge; write it in")
        return self.body


def _version(judge: Judge) -> str:
    code = LOCAL_ALGORITHMS.get(judge.model.removeprefix(LOCAL), "unknown") if judge.is_local else PROTOCOL
    material = [
        judge.prompt,
        judge.model,
        dict(judge.parameters),
        [[score, anchor] for score, anchor in sorted(judge.scale.items())],
        sorted(judge.labels.items()),
        judge.axis,
        code,
    ]
    text = json.dumps(material, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
