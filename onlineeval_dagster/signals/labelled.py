"""A door: labelled answers from Parquet files, the public sets that signals are measured on or a team's own."""

# pyarrow.compute makes its functions when it is imported, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.signals.detectors.interface import COLUMNS
from onlineeval_dagster.signals.evaluate import Labelled, Truth, baselines, length_strata
from onlineeval_dagster.signals.replay import behaviour_of

FLAGS = ("S", "H", "V", "HR", "SH", "S3", "H2", "V2")
_ABOUT_ANSWERS = (
    "lexical_groundedness",
    "lexical_relevance",
    "low_confidence",
    "refusal_or_empty",
    "truncated",
    "repetition",
    "language_mismatch",
)


def public_sets(folder: Path, catalog: Catalog) -> Iterator[Labelled]:
    """The sets of `folder` one after the other. Raises SourceError naming the file that is missing, and the remedy."""
    for name, (columns, made) in _SETS.items():
        yield from made(name, _read(folder / f"{name}.parquet", columns), catalog)


def own_set(file: Path, *, label: str, good_from: float | None = None) -> Labelled:
    """A team's own answers: columns called as a response's fields, and one that says which answers are bad.

    `label` is true or 1 for a bad answer; or a score, and bad is what lies below `good_from`. Null: nobody said.
    Raises SourceError naming column, value and remedy.
    """
    table = _read(file, ("response", label))
    count = table.num_rows
    known = [name for name in table.column_names if name in COLUMNS.names and name != "response_id"]
    fields = {name: _column(file, table, name, COLUMNS.field(name).type) for name in known}
    told = table.column(label)
    if not (pa.types.is_boolean(told.type) or pa.types.is_integer(told.type) or pa.types.is_floating(told.type)):
        raise SourceError(f"{file}: --label {label} is {told.type}; it has to be true or false, 0 or 1, or a score")
    said = pc.is_valid(told).to_numpy()
    score = told.cast(pa.float64()).to_numpy(zero_copy_only=False)
    strange = sorted(set(score[said].tolist()) - {0.0, 1.0})
    if good_from is None and strange:
        raise SourceError(
            f"{file}: --label {label} holds {strange[0]:g}, neither 0 nor 1; name the score that good answers reach "
            "with --good-from"
        )
    bad = score == 1 if good_from is None else score < good_from
    answers = pa.table({"response_id": _ids(count)} | fields)
    against = "context" if "context" in fields else "query" if "query" in fields else None
    truth = Truth(
        against=f"{label} is true" if good_from is None else f"{label} < {good_from:g}",
        bad=bad & said,
        known=said,
        goodness=None if good_from is None else np.where(said, score, 0.0),
        strata=length_strata(answers),
    )
    return Labelled(data=file.name, table=answers, truths=(truth,), observed=baselines(answers, against=against))


def _toxicity(name: str, table: pa.Table, _: Catalog) -> Iterator[Labelled]:
    flags = [pc.fill_null(table.column(flag).cast(pa.int64()), 0).to_numpy() for flag in FLAGS]
    unlabelled = [pc.is_null(table.column(flag)).to_numpy() for flag in FLAGS]
    bad = np.any(flags, axis=0)
    answers = _answers(table, response="text")
    clean = bad | ~np.any(unlabelled, axis=0)
    yield Labelled(
        data=name,
        table=answers,
        truths=(
            Truth(against="people: any flag", bad=bad),
            Truth(against="people: any flag, against texts that have every label", bad=bad, known=clean),
        ),
        detectors=("toxicity", "toxicity_model"),
        observed=baselines(answers),
        note="A flag that is null was not labelled: most of the texts without a flag lack some labels. The second rows "
        "leave these texts out.",
    )


def _general(name: str, table: pa.Table, _: Catalog) -> Iterator[Labelled]:
    answers = _answers(table, query="query", response="response")
    yield Labelled(
        data=name,
        table=answers,
        truths=(Truth(against="people: hallucinated", bad=_true(table, "hallucination")),),
        detectors=_ABOUT_ANSWERS,
        observed=baselines(answers, against="query"),
        note="ChatGPT's answers from memory: there is no context, so nothing can be said of groundedness, and no token "
        "probabilities, so nothing of confidence.",
    )


def _question_answers(name: str, table: pa.Table, _: Catalog) -> Iterator[Labelled]:
    answers = _answers(table, query="question", context="context", response="answer")
    yield Labelled(
        data=name,
        table=answers,
        truths=(
            Truth(
                against="made up by ChatGPT when asked to",
                bad=_true(table, "hallucination"),
                clusters=table.column("question").to_numpy(zero_copy_only=False),
                strata=length_strata(answers),
            ),
        ),
        detectors=("lexical_groundedness", "lexical_relevance", "relevance_embedding"),
        observed=baselines(answers, against="context"),
        note="No person labelled these. The made-up answers are whole sentences and the right ones a few words: the "
        "plain AUC says little more than the length does. Only answers alike in length are compared fairly; that "
        "interval takes the three answers to one question for independent.",
    )


def _turns(name: str, table: pa.Table, catalog: Catalog) -> Iterator[Labelled]:
    table = table.sort_by([("dialog_id", "ascending"), ("turn", "ascending")])
    answers = _answers(table, query="user", response="chatbot")
    score = table.column("score_1to3").cast(pa.float64()).to_numpy()
    observed = behaviour_of(table.column("dialog_id").to_pylist(), table.column("user").to_pylist(), catalog)
    yield Labelled(
        data=name,
        table=answers,
        truths=(
            Truth(
                against="people: worst of three scores",
                bad=score == 1,
                goodness=score,
                clusters=table.column("dialog_id").to_numpy(),
            ),
        ),
        detectors=("lexical_relevance", "repetition", "refusal_or_empty"),
        observed=(*observed, *baselines(answers, against="query")),
        note="Small talk with chatbots, recorded: turns have no times, so dwell is left out, and a dialog's end was "
        "agreed on, so abandonment means little. What follows is derived from the next turn by the pipeline's own SQL.",
    )


def _safety(name: str, table: pa.Table, _: Catalog) -> Iterator[Labelled]:
    table = table.sort_by([("item_id", "ascending"), ("source", "ascending")])
    expert = pc.equal(table.column("source"), "dices_350_expert")
    crowd, by_expert = table.filter(pc.invert(expert)), table.filter(expert)
    if crowd.column("item_id").to_pylist() != by_expert.column("item_id").to_pylist():
        raise SourceError(f"{name}: each item must have one row of raters and one of the expert; take the file anew")
    # The column is called majority_safe, and "Yes" means unsafe: DICES asks whether something is wrong. (123 raters
    # said Yes to an answer that is a bare slur 115 times.)
    votes = crowd.column("rater_labels").to_pylist()
    shares = np.array([row.count("Yes") / len(row) for row in votes], dtype=np.float64)
    truths = (
        Truth(against="raters' majority: unsafe", bad=_says_yes(crowd), goodness=-shares),
        Truth(against="an expert: unsafe", bad=_says_yes(by_expert)),
    )
    before, reply = (crowd.column(name).cast(pa.string()) for name in ("context", "response"))
    whole = pc.binary_join_element_wise(before, reply, "\n")
    for part, texts in (("the reply", reply), ("the whole conversation", whole)):
        answers = pa.table({"response_id": _ids(crowd.num_rows), "response": texts})
        yield Labelled(
            data=f"{name}, {part}",
            table=answers,
            truths=truths,
            detectors=("toxicity", "toxicity_model"),
            observed=baselines(answers),
            note="Conversations made to provoke; unsafe is more than toxic: bad advice, opinions on politics, bias in "
            "polite words. In the file majority_safe = Yes stands for unsafe.",
        )


_SETS: dict[str, tuple[tuple[str, ...], Callable[[str, pa.Table, Catalog], Iterator[Labelled]]]] = {
    "toxicity/openai_moderation": (("text", *FLAGS), _toxicity),
    "grounding/halueval_general": (("query", "response", "hallucination"), _general),
    "grounding/halueval_qa": (("question", "context", "answer", "hallucination"), _question_answers),
    "judge/conture_turns": (("dialog_id", "turn", "user", "chatbot", "score_1to3"), _turns),
    "judge/dices_safety": (("source", "item_id", "context", "response", "majority_safe", "rater_labels"), _safety),
}


def _read(file: Path, columns: Sequence[str]) -> pa.Table:
    if not file.is_file():
        raise SourceError(
            f"labelled data: {file} is not there; name the folder that holds toxicity/, grounding/ and judge/ with "
            "--data or ONLINEEVAL_LABELLED_DATA, or a Parquet file of your own with --file and --label"
        )
    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"labelled data: {file} cannot be read as Parquet: {error}") from error
    for name in columns:
        if name not in table.column_names:
            raise SourceError(f"{file}: there is no column {name!r}; it has {', '.join(table.column_names)}")
    return table


def _answers(table: pa.Table, **columns: str) -> pa.Table:
    """The answers with our names for their columns, as the detectors want them."""
    texts = {name: table.column(column).cast(pa.string()) for name, column in columns.items()}
    return pa.table({"response_id": _ids(table.num_rows)} | texts)


def _column(file: Path, table: pa.Table, name: str, kind: pa.DataType) -> Any:
    try:
        return table.column(name).cast(kind)
    except pa.ArrowException as error:
        raise SourceError(f"{file}: column {name} is {table.column(name).type} and has to be {kind}") from error


def _ids(count: int) -> pa.Array:
    return pa.array([str(place) for place in range(count)], pa.string())


def _true(table: pa.Table, name: str) -> np.ndarray:
    return table.column(name).to_numpy(zero_copy_only=False).astype(np.bool_)


def _says_yes(table: pa.Table) -> np.ndarray:
    return pc.equal(table.column("majority_safe"), "Yes").to_numpy(zero_copy_only=False)
