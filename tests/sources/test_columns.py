"""A column or a dialect that is not there is named, with what there is."""

import pytest

from onlineeval_dagster.contracts.events import Response
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.sources.columns import ALIASES
from onlineeval_dagster.sources.registry import DIALECTS, read_source
from tests.sources.foreign import FLAT, NOW, lines, one, read


class TestWrongColumns:
    def test_a_mapped_column_that_no_row_has_is_named_with_the_nearest_first(self, file):
        with pytest.raises(SourceError, match=r"no row has 'questoin'; the columns are question, ") as caught:
            one(file, FLAT, column_map={"query": "questoin"})
        assert "--map query=questoin" in str(caught.value) and str(file) in str(caught.value)

    def test_a_column_that_only_a_late_row_has_is_fine(self, file):
        rows = [*[FLAT] * 50, FLAT | {"who": "u9"}]
        assert one(file, *rows, column_map={"user_id": "who"})[-1].user_id == "u9"

    def test_a_needed_column_that_cannot_be_guessed_is_asked_for(self, file):
        with pytest.raises(SourceError, match=r"no column for 'response'; say which with --map response=COLUMN"):
            one(file, {"question": "q", "text": "a", "time": 1763900000})

    def test_a_field_we_do_not_have_is_refused_with_the_nearest(self, file):
        with pytest.raises(SourceError, match=r"no field 'qurey'; did you mean 'query'"):
            one(file, FLAT, column_map={"qurey": "question"})

    def test_nothing_is_imported_when_a_later_file_is_wrong(self, tmp_path):
        good, bad = lines(tmp_path / "a.jsonl", FLAT), lines(tmp_path / "b.jsonl", {"x": 1})
        with pytest.raises(SourceError, match=r"b\.jsonl"):
            next(read_source("jsonl", [good, bad], now=NOW))


def test_an_unknown_dialect_and_no_file_are_refused(file):
    with pytest.raises(SourceError, match="--source langsmith: unknown; there are jsonl"):
        list(read_source("langsmith", [file], now=NOW))
    with pytest.raises(SourceError, match="no file was named"):
        read()


def test_every_dialect_is_registered_under_its_name_and_every_field_is_one_of_ours():
    assert all(name == dialect.name and dialect.description for name, dialect in DIALECTS.items())
    assert set(ALIASES) - {"rating", "thumbs", "comment", "feedback_at"} <= set(Response.model_fields)
    assert all(names[0] == field for field, names in ALIASES.items())
