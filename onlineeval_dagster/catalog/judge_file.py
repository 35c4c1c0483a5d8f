"""A judge, as its file says. How the file is read: catalog/judge_reading.py."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["active", "shadow", "retired"]
ReplyForm = Literal["json", "text"]
Unit = Literal["response", "session"]

LOCAL = "local/"
LOCAL_ALGORITHMS = {"overlap": "1"}
"""Embedded judges and the version of their algorithm: raised by every change to judges/ that moves a local score."""

PROTOCOL = "2"
"""Version of the wrapping and reading in judges/rubric.py: raise it with every change there that can move a score."""

TEMPLATE_FIELDS = ("query", "response", "context", "conversation", "reference")
"""The fields of a response that a judge may see."""

OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens")
"""The parameters by which endpoints bound a reply."""

API_KEY_ENV = "OPENAI_API_KEY"

REPEAT_RATE = 0.02
"""Of 320 judged answers a day six: in four weeks enough to know the noise floor to some tenths of it."""

PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


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
    unit             what is judged: an answer; or a session, by its last answer, once it has been idle
    good_from        the score from which an answer counts as good
    labels           words a reply may use for a score, such as yes → 3; lower case
    base_url         address of an OpenAI-compatible endpoint; None: OPENAI_BASE_URL
    api_key_env      name of the environment variable that holds the endpoint's key
    parameters       sent to the endpoint as they are: temperature, max_tokens, …
    reply            `json`: the endpoint is held to a JSON schema, and the reply to it; `text`: any reply is read
    bare             the prompt is all the model is sent, its texts not fenced: to do again what others did. Strangers'
                     words then stand where the judge's own do
    system           the system message of a bare judge
    price            None for local judges only
    rate             share of normal traffic in (0, 1]; None leaves it to the sampling policy
    repeat_rate      share of the judged answers that are judged once more, to know how far its scores move; 0: none
    max_in_flight    calls in flight at most; fewer while the endpoint asks for fewer
    requests_per_minute, tokens_per_minute  what the account may send; None: no limit
    daily_budget_usd what a day (UTC) may cost; what is over it is shed. None: no limit
    timeout_seconds  of one call
    version          12 hex digits over all that can change an answer: prompt, model, its address, parameters, scale,
                     labels, code
    """

    name: str
    axis: str
    prompt: str
    scale: Mapping[int, str]
    good_from: int
    model: str
    labels: Mapping[str, int] = field(default_factory=dict)
    base_url: str | None = None
    api_key_env: str = API_KEY_ENV
    parameters: Mapping[str, Any] = field(default_factory=dict)
    price: Price | None = None
    rate: float | None = None
    repeat_rate: float = REPEAT_RATE
    status: Status = "active"
    unit: Unit = "response"
    owner: str | None = None
    reply: ReplyForm = "text"
    bare: bool = False
    system: str | None = None
    max_in_flight: int = 8
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    daily_budget_usd: float | None = None
    timeout_seconds: float = 60.0
    version: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "version", _version(self))

    @property
    def is_local(self) -> bool:
        """True where the judge runs in this process, without key, network or price."""
        return self.model.startswith(LOCAL)

    @property
    def is_of_sessions(self) -> bool:
        return self.unit == "session"

    @property
    def shown(self) -> tuple[str, ...]:
        """Fields of answers whose texts it sees. The conversation of a session is its questions and answers."""
        named = PLACEHOLDER.findall(self.prompt)
        more = ("query", "response") if self.is_of_sessions and "conversation" in named else ()
        return (*named, *more)

    @property
    def repeats(self) -> float:
        """The share that is judged twice: an embedded judge always says the same, so that nothing would be learnt."""
        return 0.0 if self.is_local else self.repeat_rate

    @property
    def most_output_tokens(self) -> int:
        """The longest reply that its parameters allow; 0 where they set no limit."""
        return max((int(self.parameters[name]) for name in OUTPUT_LIMITS if name in self.parameters), default=0)


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
    framing = [judge.reply, judge.bare, judge.system]
    material += framing if framing != ["text", False, None] else []  # judges without them keep their version
    material += [{"unit": judge.unit}] if judge.is_of_sessions else []
    material += [{"base_url": judge.base_url}] if judge.base_url else []  # a name may be another model elsewhere
    text = json.dumps(material, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
