"""One value of a TOML text changes; everything else stays as it was written."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.newcomer.lines import toml, with_value
from onlineeval_dagster.settings import PACKAGED_CATALOG

SAMPLING = (PACKAGED_CATALOG / "sampling.toml").read_text(encoding="utf-8")


def test_a_value_changes_in_its_own_table_only_and_comments_stay() -> None:
    changed = with_value(SAMPLING, "normal", "rate", "0.25", place="sampling.toml")
    assert changed == SAMPLING.replace("rate = 0.1", "rate = 0.25")


def test_a_table_that_is_not_there_is_added_at_the_end_in_the_order_of_its_keys() -> None:
    text = with_value(SAMPLING, "budget", "monthly_cap_usd", "5", place="x")
    text = with_value(text, "budget", "judge_history", "false", place="x")
    assert text.endswith("[budget]\nmonthly_cap_usd = 5\njudge_history = false\n")


def test_changing_twice_is_changing_once() -> None:
    once = with_value(SAMPLING, "sources.a", "map", '{ "query" = "q" }', place="x")
    assert with_value(once, "sources.a", "map", '{ "query" = "q" }', place="x") == once


def test_a_form_that_lines_cannot_change_is_refused_rather_than_doubled() -> None:
    with pytest.raises(CatalogError, match=r"^sampling\.toml: \[normal\] rate cannot be set in the form"):
        with_value("normal = { rate = 0.1 }\n", "normal", "rate", "0.2", place="sampling.toml")


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]))
    ),
)
def test_every_text_and_table_comes_back_as_it_was(text: str, table: dict[str, str]) -> None:
    assert tomllib.loads(f"x = {toml(text)}\ny = {toml(table)}") == {"x": text, "y": table}
