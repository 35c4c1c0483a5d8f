"""The spans of one trace → its responses, verdicts and labels. Pure; a response is what a user was shown.

The rule of traces.toml names the span. By default it is the root: the span without a parent, or whose parent never
came. Its own input and output count, or, where it shows none, those of the outermost model call below it. Documents
retrieved below it are the context; model calls below it are no responses of their own: their tokens and cost add up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from onlineeval_dagster.catalog.traces_file import ResponseSpan
from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import Response
from onlineeval_dagster.traces import genai, openinference
from onlineeval_dagster.traces.evaluations import Evaluation, as_event, evaluations_of
from onlineeval_dagster.traces.named import CALL_ID
from onlineeval_dagster.traces.said import Said, Step, a_text

_NOT_FOR_USERS = ("evaluator", "guardrail", "embedding", "retriever", "reranker", "tool")
_NO_TEXT = (
    "calls of a model without their texts: turn on the capture of message content in your instrumentation "
    "(OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """What a trace holds. `reason` says why where there is no response."""

    responses: tuple[Response, ...]
    opinions: tuple[LogEvent, ...]
    reason: str | None


@dataclass(slots=True, kw_only=True)
class _Node:
    """A span in its tree; `depth` 0 is a root."""

    step: Step
    said: Said
    children: list["_Node"]
    depth: int = 0

    def all(self) -> list["_Node"]:
        """This span and those below it, in the order in which they began; a loop of parents ends."""
        found: list[_Node] = []
        seen: set[int] = set()
        queue: list[_Node] = [self]
        while queue:
            node = queue.pop()
            if id(node) not in seen:
                seen.add(id(node))
                found.append(node)
                queue.extend(node.children)
        return sorted(found, key=_began)


def assemble(steps: Sequence[Step], rule: ResponseSpan) -> Assembled:
    """The responses of a trace and what its evaluations say of them.

    A response's id is the chosen span's attribute `onlineeval.response_id`, else its gen_ai.response.id, else the
    trace's id (of a span that is marked or found by another rule `<trace id>:<span id>`: a trace may have several).
    """
    roots = _trees(steps)
    chosen = _chosen(roots, rule)
    made = [(node, _response(node, roots, rule)) for node in chosen]
    responses = [(node, response) for node, response in made if response is not None]
    opinions = _opinions(steps, responses)
    reason = None if responses else _why_none(roots, chosen, rule)
    return Assembled(responses=tuple(response for _, response in responses), opinions=opinions, reason=reason)


def _trees(steps: Sequence[Step]) -> list[_Node]:
    """The roots, the likeliest first. Events of the log stand with the span they speak of; each span counts once."""
    told: dict[str | None, list[dict]] = {}
    for step in steps:
        if step.record == "log":
            told.setdefault(step.span_id, []).append({"name": step.name, "attributes": dict(step.attributes)})
    nodes: dict[str, _Node] = {}
    for step in steps:
        if step.record == "span" and step.span_id is not None and step.span_id not in nodes:
            whole = replace(step, events=[*step.events, *told.get(step.span_id, [])])
            nodes[step.span_id] = _Node(step=whole, said=_said(whole), children=[])
    roots: list[_Node] = []
    for node in nodes.values():
        parent = nodes.get(node.step.parent_span_id or "")
        (roots if parent is None else parent.children).append(node)
    roots.sort(key=lambda node: (node.step.parent_span_id is not None, *_began(node)))
    for root in roots or sorted(nodes.values(), key=_began)[:1]:  # a loop of parents has no root
        _measure(root)
    return roots or sorted(nodes.values(), key=_began)[:1]


def _measure(root: _Node) -> None:
    seen, level, depth = set[int](), [root], 0
    while level:
        for node in level:
            node.depth = depth
            seen.add(id(node))
        level = [child for node in level for child in node.children if id(child) not in seen]
        depth += 1


def _said(step: Step) -> Said:
    said = openinference.read(step).over(genai.read(step)) if step.attributes or step.events else Said()
    return replace(said, kind="other") if said.kind is None and said != Said() else said


def _chosen(roots: list[_Node], rule: ResponseSpan) -> list[_Node]:
    everyone = [node for root in roots for node in root.all()]
    chosen = [node for node in everyone if _is_marked(node)] or [node for node in everyone if _fits(node, rule)]
    if rule.by == "root" and not chosen:
        return roots[:1]
    inner = {id(below) for node in chosen for below in node.all() if below is not node}
    return sorted((node for node in chosen if id(node) not in inner), key=_began)


def _is_marked(node: _Node) -> bool:
    return node.step.attributes.get("onlineeval.response") in (True, "true")


def _fits(node: _Node, rule: ResponseSpan) -> bool:
    if rule.by == "name":
        return node.step.name == rule.value
    if rule.by == "operation":
        return node.said.operation == rule.value
    return rule.by == "kind" and node.said.kind == (rule.value or "").lower()


def _response(node: _Node, roots: list[_Node], rule: ResponseSpan) -> Response | None:
    step, own = node.step, node.said
    # The root of several that lost their parent answers for all of them.
    below = [each for root in roots for each in root.all()] if node is roots[0] and rule.by == "root" else node.all()
    if own.kind in _NOT_FOR_USERS:
        return None
    call = _outermost_call(below)
    said = own.over(call.said) if call is not None else own
    answered = own.answered or (call.said.answered if call is not None else None) or None
    error = _error(node)
    if (answered is None and error is None) or (said.query is None and answered is None):
        return None
    input_tokens, output_tokens, cost_usd = _spent(below)
    kept = {"trace_id": step.trace_id, "span_id": step.span_id, "system": said.system, **own.more}
    kept[CALL_ID] = next(
        (each.said.response_id for each in ([call] if call else []) + below if each.said.response_id), None
    )
    return Response(
        event_id=f"{step.event_id}:response",
        occurred_at=step.occurred_at,
        received_at=max(each.step.received_at for each in below),
        environment=step.environment,
        app=step.app,
        attributes={name: value for name, value in kept.items() if value is not None},
        response_id=_response_id(node, rule)[:256],
        session_id=_first_said([node, *below], "session_id"),
        user_id=_first_said([node, *below], "user_id"),
        query=(own.query or said.query or ""),
        response=answered or "",
        context=_context(below),
        conversation=own.conversation if own.query else said.conversation,
        reference=a_text(step.attributes, "onlineeval.reference"),
        prompt_version=_key(a_text(step.attributes, "onlineeval.prompt_version") or said.prompt_version),
        variant=_key(a_text(step.attributes, "onlineeval.variant")),
        model=_key(call.said.model if call is not None and call.said.model else said.model),
        provider=_key(call.said.provider if call is not None and call.said.provider else said.provider),
        latency_ms=_latency_ms(step),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=cost_usd,
        finish_reason=said.finish_reason,
        error=error,
    )


def _response_id(node: _Node, rule: ResponseSpan) -> str:
    stated = a_text(node.step.attributes, "onlineeval.response_id") or node.said.response_id
    speaks_for_trace = rule.by == "root" and not _is_marked(node)
    return stated or (str(node.step.trace_id) if speaks_for_trace else node.step.event_id)


def _outermost_call(nodes: list[_Node]) -> _Node | None:
    """Of the model calls nearest to the root the last one that says something to the user; an agent's span is none."""
    calls = [node for node in nodes if node.said.kind == "llm"]
    spoken = [node for node in calls if node.said.answered] or calls
    nearest = min((node.depth for node in spoken), default=0)
    return max((node for node in spoken if node.depth == nearest), key=_began, default=None)


def _spent(nodes: list[_Node]) -> tuple[int | None, int | None, float | None]:
    """Tokens in and out and the cost, each once: a span that states them speaks for what is below it too."""
    counted: set[int] = set()
    tokens_in: list[int] = []
    tokens_out: list[int] = []
    costs: list[float] = []
    for node in sorted(nodes, key=lambda node: node.depth):
        said = node.said
        if id(node) in counted or (said.input_tokens is None and said.output_tokens is None and said.cost_usd is None):
            continue
        counted |= {id(below) for below in node.all()}
        tokens_in += [] if said.input_tokens is None else [said.input_tokens]
        tokens_out += [] if said.output_tokens is None else [said.output_tokens]
        costs += [] if said.cost_usd is None or said.cost_usd < 0 else [float(said.cost_usd)]
    return sum(tokens_in) if tokens_in else None, sum(tokens_out) if tokens_out else None, sum(costs) if costs else None


def _context(nodes: list[_Node]) -> str | None:
    """The documents that were retrieved, in order, each once."""
    documents = dict.fromkeys(text for node in nodes for text in node.said.documents)
    return "\n\n".join(documents) or None


def _error(node: _Node) -> str | None:
    if node.step.status != "error":
        return None
    return node.step.status_message or node.said.error or "error"


def _latency_ms(step: Step) -> float | None:
    """None where it has not ended, or before it began: two clocks."""
    if step.ended_at is None or step.ended_at < step.occurred_at:
        return None
    return (step.ended_at - step.occurred_at).total_seconds() * 1000


def _first_said(nodes: list[_Node], name: str) -> str | None:
    return next((said for node in nodes if (said := getattr(node.step, name))), None)


def _key(said: str | None) -> str | None:
    return said[:256] if said else None


def _began(node: _Node) -> tuple:
    return node.step.occurred_at, node.step.event_id


def _opinions(steps: Sequence[Step], responses: list[tuple[_Node, Response]]) -> tuple[LogEvent, ...]:
    """Every evaluation, of the response whose span holds the one that it speaks of, else of the trace's first."""
    of_span = {below.step.span_id: made for node, made in responses for below in node.all()}
    first = responses[0][1] if responses else None
    made: dict[str, LogEvent] = {}
    for step in steps:
        for found in evaluations_of(step):
            event = _opinion(found, of_span, first)
            if event is not None:
                made.setdefault(event.event_id, event)
    return tuple(made.values())


def _opinion(found: Evaluation, of_span: Mapping[str | None, Response], first: Response | None) -> LogEvent | None:
    response = of_span.get(found.span_id) or first
    if response is not None:
        return as_event(found, response_id=response.response_id, response_at=response.occurred_at)
    if found.response_id is not None:
        return as_event(found, response_id=found.response_id, response_at=None)
    return None


def _why_none(roots: list[_Node], chosen: list[_Node], rule: ResponseSpan) -> str:
    everyone = [node for root in roots for node in root.all()]
    if not everyone:
        return "no span, only events of the log"
    if all(node.said.kind is None for node in everyone):
        return "no call of a model in it"
    if not chosen:
        return f"no span with {rule.by} {rule.value!r} (traces.toml)" if rule.value else "no span is marked"
    if all(node.said.kind in _NOT_FOR_USERS for node in chosen):
        return f"the chosen span is of kind {chosen[0].said.kind}"
    if any(node.said.query or node.said.answered for node in everyone):
        return "no answer in it, and no error"
    return _NO_TEXT
