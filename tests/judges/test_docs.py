"""docs/judges.md says what the code does: every key, every error, and a file that loads."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

from onlineeval_dagster.catalog.judge_file import REPEAT_RATE, TEMPLATE_FIELDS, Judge
from onlineeval_dagster.catalog.judge_reading import load_judge
from onlineeval_dagster.contracts.trials import JudgeReliability
from onlineeval_dagster.judges.canaries import CANARIES_A_DAY, canaries_for
from onlineeval_dagster.judges.rubric import LONGEST
from onlineeval_dagster.judges.work import ErrorKind
from onlineeval_dagster.review.reliability import MOST_OBEYED, WINDOW_DAYS

PAGE = (Path(__file__).parents[2] / "docs" / "judges.md").read_text(encoding="utf-8")


def column(head: str) -> set[str]:
    """The words in code marks of the first column of the table that begins with `head`."""
    table = PAGE.split(f"| {head} |", 1)[1].split("\n\n", 1)[0]
    return {word for line in table.splitlines()[2:] for word in re.findall(r"`(\w+)`", line.split("|")[1])}


def test_every_key_of_a_judge_file_is_told() -> None:
    assert column("key") == {field.name for field in fields(Judge)} - {"name", "prompt", "version"}


def test_every_kind_of_error_is_told() -> None:
    assert column("error") == set(get_args(ErrorKind))


def test_the_file_for_haiku_loads_as_it_stands(tmp_path: Path) -> None:
    text = PAGE.split("```markdown\n", 1)[1].split("```", 1)[0]
    (tmp_path / "helpful-haiku.md").write_text(text, encoding="utf-8")
    judge = load_judge(tmp_path / "helpful-haiku.md")
    assert (judge.base_url, judge.api_key_env) == ("https://api.anthropic.com/v1/", "ANTHROPIC_API_KEY")
    assert (judge.reply, judge.most_output_tokens, judge.status) == ("text", 200, "shadow")
    assert judge.price is not None and judge.price.of(1_000_000, 1_000_000) == 6.0


def test_the_numbers_are_those_of_the_code() -> None:
    said = canaries_for(load_judge(Path(__file__).parent / "openqa-correctness.md")).items
    assert CANARIES_A_DAY == 12 and "Twelve times a day" in PAGE
    assert sum(item.ordered is not None for item in said) == 72
    assert f"`repeat_rate` | share of the judged answers that are judged once more | {REPEAT_RATE}" in PAGE
    assert f"over {WINDOW_DAYS} days" in PAGE and f"more than {MOST_OBEYED:.0%}".replace("%", " %") in PAGE
    assert all(f"`{{{name}}}`" in PAGE for name in TEMPLATE_FIELDS)
    assert [LONGEST[name] for name in TEMPLATE_FIELDS] == [2000, 3000, 6000, 3000, 3000]
    assert "row a day for each judge's version" in PAGE and JudgeReliability.__doc__
