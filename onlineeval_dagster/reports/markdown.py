"""A daily report as short Markdown, for Dagster's metadata and for messages. The first line is the sentence."""

import re
from collections.abc import Iterable, Sequence

from onlineeval_dagster.reports.model import DailyReport, Plot, ShownAnswer
from onlineeval_dagster.reports.wording import quoted

QUOTE_LIMIT = 240  # characters
_SPECIAL = re.compile(r"([\\`*_\[\]|~])")
_SPECIAL_FIRST = re.compile(r"^([#+>=-])")


def render_markdown(report: DailyReport) -> str:
    """The same content as the page, without the plots. Texts from production cannot become markup."""
    head = [plain(report.sentence), f"**{report.status_name}** · {report.day_name}"]
    if report.sentence.startswith(report.status_name):
        head[1] = report.day_name
    if report.simulated:
        head.append("**Simulated data**")
    head += map(plain, report.people)
    changes = [
        f"- **{change.when} – {plain(change.title)}.** {' '.join(map(plain, change.lines))}".rstrip()
        for change in (*report.changes, *report.earlier_changes)
    ]
    worst = [_answer(answer) for answer in report.worst]
    numbers = [(row.title, row.value, row.likely, row.change) for row in report.numbers]
    blocks = [
        *head,
        "## What changed",
        "\n".join(changes) or report.no_changes,
        *(["## Incidents", _list(report.incidents)] if report.incidents else []),
        "## What to do next",
        _list(report.advice),
        "## The worst answers",
        "\n\n".join(worst) or report.no_worst,
        *_weeks(report.by_week),
        "## All numbers of the day",
        lined_up(("", "Value", "Likely range", "A week earlier"), numbers),
        "## What was looked at",
        _list(report.coverage),
        "## How was this computed",
        *report.computed_notes,
        *(f"**{table.title}**\n\n{lined_up(table.columns, table.rows)}" for table in report.computed_tables),
        f"Made {report.made_at_name}. Days and hours are UTC.",
    ]
    return "\n\n".join(blocks) + "\n"


def _weeks(plot: Plot | None) -> list[str]:
    """The weeks in full: they are few, and say most of a small product."""
    if plot is None or not plot.has_numbers:
        return []
    rows = [(point.name, point.value_text, point.likely_text) for point in plot.points]
    return [f"## {plot.title}", lined_up(("Week from", "Value", "Likely range"), rows)]


def _answer(answer: ShownAnswer) -> str:
    why = f" {_one_line(answer.why)}" if answer.why else ""
    return f"**{_one_line(answer.question)}**\n\n> {_one_line(answer.answer)}\n\n{plain(answer.source)}.{why}"


def _one_line(text: str) -> str:
    return plain(quoted(" ".join(text.split()), limit=QUOTE_LIMIT))


def plain(text: str) -> str:
    """Text with every character that Markdown or HTML would read as markup made literal."""
    escaped = _SPECIAL.sub(r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))
    return _SPECIAL_FIRST.sub(r"\\\1", escaped)


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {plain(line)}" for line in lines)


def lined_up(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row(columns), _row(["---"] * len(columns), escape=False), *(_row(row) for row in rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str], *, escape: bool = True) -> str:
    return f"| {' | '.join(plain(cell) if escape else cell for cell in cells)} |"
