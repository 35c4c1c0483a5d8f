"""A judge is one Markdown file: TOML front matter between `---` lines, and the prompt as its body."""

import json
import re
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import urlsplit

from onlineeval_dagster.catalog.judge_file import (
    API_KEY_ENV,
    LOCAL,
    LOCAL_ALGORITHMS,
    OUTPUT_LIMITS,
    PLACEHOLDER,
    REPEAT_RATE,
    TEMPLATE_FIELDS,
    Judge,
    Price,
    ReplyForm,
    Status,
    Unit,
)
from onlineeval_dagster.contracts.events import Response
from onlineeval_dagster.errors import CatalogError

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*\n?(.*)\Z", re.DOTALL | re.MULTILINE)
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SET_BY_US = {"model", "messages", "stream", "n"}


def load_judges(folder: Path) -> tuple[tuple[Judge, ...], dict[str, CatalogError]]:
    """Every judge in a folder and its subfolders, sorted by name, and what is wrong with the other files, by name.

    Two files with one name are both left out: nobody can say which is meant. A missing folder holds none.
    """
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.md")):
        files.setdefault(path.stem.casefold(), []).append(path)
    judges: list[Judge] = []
    broken: dict[str, CatalogError] = {}
    for path, *twins in files.values():
        try:
            if twins:
                names = " and ".join(str(one.relative_to(folder)) for one in (path, *twins))
                told = f"{folder.name}/: two judges with the name {path.stem!r} ({names}); rename one file"
                raise CatalogError(told)
            judges.append(load_judge(path))
        except CatalogError as error:
            broken[path.stem] = error
    return tuple(sorted(judges, key=lambda judge: judge.name)), broken


def load_judge(path: Path) -> Judge:
    """The judge in one Markdown file; its name is the file's stem.

    Raises CatalogError with file, value and remedy.
    """
    place = f"{path.parent.name}/{path.name}"
    if not NAME.fullmatch(path.stem):
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
            prompt=self._prompt(unit := self._unit(model)),
            unit=unit,
            scale=scale,
            good_from=self._good_from(scale),
            model=model,
            labels=self._labels(scale),
            base_url=self._base_url(),
            api_key_env=self._api_key_env(),
            parameters=self._parameters(),
            price=self._price(self._checked_local(model)),
            rate=self._rate(),
            repeat_rate=self._number("repeat_rate", low=0, high=1, default=REPEAT_RATE),
            status=cast(Status, self._one_of("status", get_args(Status))),
            owner=self._text("owner", "a team or a person") if "owner" in self.front else None,
            reply=cast(ReplyForm, self._one_of("reply", get_args(ReplyForm), default="text")),
            bare=self._bare(),
            system=self.front.get("system"),
            max_in_flight=int(self._number("max_in_flight", low=1, high=10_000, default=8, whole=True)),
            requests_per_minute=self._limit("requests_per_minute"),
            tokens_per_minute=self._limit("tokens_per_minute"),
            daily_budget_usd=self._daily_budget(),
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
            told = f"{key} must be {kind} from {low:g} to {high:g}, got {value!r}; {default:g} is the default"
            raise self._wrong(told)
        return float(value)

    def _rate(self) -> float | None:
        rate = self.front.get("rate")
        if rate is None:
            return None
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 1:
            raise self._wrong(f"rate must be in (0, 1], got {rate!r}; write 0.1 for ten percent")
        return float(rate)

    def _base_url(self) -> str | None:
        if "base_url" not in self.front:
            return None
        address = self._text("base_url", "such as https://api.anthropic.com/v1/")
        try:
            parts = urlsplit(address)
        except ValueError as error:
            raise self._wrong(f"base_url is no address: {error}; write it as https://host/v1") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise self._wrong(f"base_url is no address, got {address!r}; write it as https://host/v1")
        if parts.username or parts.password:
            raise self._wrong('base_url holds a password; keys come from the environment: api_key_env = "MY_KEY"')
        return address

    def _api_key_env(self) -> str:
        name = self.front.get("api_key_env", API_KEY_ENV)
        # A key pasted here would be in the file, in its history and in every message: it is not repeated.
        if not isinstance(name, str) or not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", name):
            raise self._wrong(
                "api_key_env must be the name of an environment variable (capitals, digits, _), never the key itself; "
                'write api_key_env = "ANTHROPIC_API_KEY"'
            )
        return name

    def _one_of(self, key: str, allowed: tuple[str, ...], default: str = "active") -> str:
        value = self.front.get(key, default)
        if value not in allowed:
            raise self._wrong(f"{key} must be one of {', '.join(allowed)}, got {value!r}")
        return value

    def _bare(self) -> bool:
        bare, system = self.front.get("bare", False), self.front.get("system")
        if not isinstance(bare, bool):
            raise self._wrong(f"bare must be true or false, got {bare!r}")
        if system is not None and (not bare or not isinstance(system, str) or not system.strip()):
            raise self._wrong(f"system is the system message of a judge with bare = true, got {system!r}; remove it")
        return bare

    def _limit(self, key: str) -> float | None:
        return self._number(key, low=1, high=1e9, default=1000) if key in self.front else None

    def _daily_budget(self) -> float | None:
        if "daily_budget_usd" not in self.front:
            return None
        limits = self.front.get("parameters", {})
        if not isinstance(limits, dict) or not any(isinstance(limits.get(name), int) for name in OUTPUT_LIMITS):
            raise self._wrong(
                "daily_budget_usd can be kept only where a reply has an end; write parameters = { max_tokens = 200 }"
            )
        return self._number("daily_budget_usd", low=0, high=1e6, default=1)

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
            told = f"parameters must be a table, got {parameters!r}; write parameters = {{ temperature = 0 }}"
            raise self._wrong(told)
        ours = _SET_BY_US | ({"response_format"} if self.front.get("reply") == "json" else set())
        if taken := ours & set(parameters):
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

    def _unit(self, model: str) -> Unit:
        unit = cast(Unit, self._one_of("unit", get_args(Unit), default="response"))
        if unit == "session" and model.startswith(LOCAL):
            raise self._wrong(f'unit is "session", and {model!r} reads single answers only; name another model')
        return unit

    def _prompt(self, unit: Unit) -> str:
        shown = ", ".join(f"{{{name}}}" for name in TEMPLATE_FIELDS)
        if not self.body:
            raise self._wrong(f"the prompt is empty; write it below the second ---, with {shown} where they belong")
        used = PLACEHOLDER.findall(self.body)
        for name in used:
            if name not in TEMPLATE_FIELDS:
                exists = "is not shown to judges" if name in Response.model_fields else "is not a field of a response"
                raise self._wrong(f"the prompt names {{{name}}}, which {exists}; there are {shown}")
        if (needed := "conversation" if unit == "session" else "response") not in used:
            raise self._wrong(f"the prompt never names {{{needed}}}, so there is nothing to judge; write it in")
        return self.body
