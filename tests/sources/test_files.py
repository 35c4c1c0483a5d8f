"""Files as they lie there: zipped, torn, of another kind, with rows that are none."""

import gzip
import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onlineeval_dagster.contracts.events import Response
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.sources.rows import BadRow
from tests.sources.foreign import FLAT, one, read


class TestBadRows:
    def test_are_yielded_in_their_place_with_reason_and_text_and_none_is_lost(self, file):
        file.write_bytes(
            json.dumps(FLAT).encode() + b"\n\n{torn\n[1]\n\xff\xfe\n" + json.dumps(FLAT | {"id": [1]}).encode() + b"\n"
        )
        good, torn, listed, binary, last = read(file, column_map={"response_id": "id"})
        assert isinstance(good, Response)
        assert [bad.number for bad in (torn, listed, binary, last)] == [3, 4, 5, 6]
        assert torn.text == "{torn" and torn.reason.startswith("not JSON")
        assert "got list" in listed.reason and "not JSON" in binary.reason
        assert last.reason.startswith("response_id:") and json.loads(last.text)["id"] == [1]

    def test_become_a_log_line_that_is_no_event(self, file):
        _, bad = one(file, FLAT, "{torn")
        line = bad.as_log_line()
        assert line.endswith(b"\n") and line.count(b"\n") == 1
        said = json.loads(line)
        assert said == {"source": "log.jsonl", "row": 2, "reason": bad.reason, "text": "{torn"} and "kind" not in said

    def test_never_show_a_users_text_in_the_reason(self, file):
        secret = "my private question, which is longer than forty characters"
        (bad,) = one(file, FLAT | {"created_at": secret})
        assert secret not in bad.reason and secret in bad.text


class TestFiles:
    def test_gzip_is_read_whatever_its_name(self, tmp_path):
        file = tmp_path / "log.jsonl"
        file.write_bytes(gzip.compress(json.dumps(FLAT).encode() + b"\n"))
        assert len(read(file)) == 1

    def test_parquet_is_read_with_the_same_map(self, tmp_path):
        file = tmp_path / "log.parquet"
        times = pa.array([datetime(2026, 11, 20, tzinfo=UTC)] * 2, pa.timestamp("us", tz="UTC"))
        pq.write_table(pa.table({"frage": ["q1", "q2"], "answer": ["a", None], "time": times}), file)
        good, bad = read(file, column_map={"query": "frage"})
        assert good.query == "q1" and isinstance(bad, BadRow) and bad.number == 2

    def test_gaps_that_parquet_writes_as_nan_are_gaps(self, tmp_path):
        file = tmp_path / "log.parquet"
        gaps = [4.0, float("nan")]
        columns = {"query": ["q"] * 2, "answer": ["a"] * 2, "time": [1.7639e9] * 2}
        pq.write_table(
            pa.table(columns | dict.fromkeys(("user_id", "input_tokens", "latency_ms", "stars"), gaps)), file
        )
        full, stars, empty = read(file)
        assert (full.user_id, full.input_tokens, full.latency_ms, stars.value) == ("4", 4, 4.0, 4.0)
        assert (empty.user_id, empty.input_tokens, empty.latency_ms) == (None, None, None)

    def test_a_missing_file_a_folder_and_a_torn_archive_are_named(self, tmp_path):
        with pytest.raises(SourceError, match=r"nowhere\.jsonl: no such file"):
            read(tmp_path / "nowhere.jsonl")
        torn = tmp_path / "torn.gz"
        torn.write_bytes(gzip.compress(json.dumps(FLAT).encode() * 1000)[:-20])
        with pytest.raises(SourceError, match=r"torn\.gz: cannot be read"):
            read(torn)
        no_parquet = tmp_path / "x.parquet"
        no_parquet.write_bytes(b"not parquet")
        with pytest.raises(SourceError, match=r"x\.parquet: not a readable Parquet"):
            read(no_parquet)

    def test_a_file_without_rows_or_without_json_is_refused(self, file):
        file.write_bytes(b"\n\n")
        with pytest.raises(SourceError, match="has no rows"):
            read(file)
        file.write_bytes(b"hello\nworld\n")
        with pytest.raises(SourceError, match="none of its 2 rows is a JSON object"):
            read(file)
