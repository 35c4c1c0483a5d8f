"""docs/opentelemetry.md does what it says: its example runs, its file is the packaged one, its names are the code's."""

import os
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.catalog.traces_file import Traces
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.collector.collectors import serving
from tests.pipeline import table
from tests.worlds import settings_at, take_in_traces

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "opentelemetry.md").read_text(encoding="utf-8")
CODE = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "onlineeval_dagster" / "traces").glob("*.py"))
CODE += (ROOT / "onlineeval_dagster" / "collector" / "otlp.py").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


def test_the_example_sent_to_a_live_collector_becomes_the_row_that_the_page_shows(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    with serving(tmp_path) as (process, url):
        where = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url}
        subprocess.run([sys.executable, "-c", block("python")], env=where, timeout=60, check=True)
        process.terminate()
        assert process.wait(20) == 0
    later = datetime.now(UTC) + timedelta(minutes=5)
    take_in_traces(settings, now=later)
    (made,) = table(settings, "responses")
    assert (made["response_id"], made["query"]) == ("answer-17", "Where is my parcel?")
    assert (made["response"], made["context"]) == ("It left Lyon on Monday.", "Parcel 1234 left Lyon on Monday.")
    assert (made["input_tokens"], made["output_tokens"], made["model"]) == (120, 9, "m-1")
    assert (made["app"], made["environment"], made["session_id"]) == ("shop", "production", "s7")
    assert made["user_id"]
    assert made["user_id"] != "u42", "user ids are hashed before they are written"
    assert made["latency_ms"] is not None


def test_the_file_of_the_page_is_the_packaged_one() -> None:
    told = Traces.model_validate(tomllib.loads(block("toml")))
    assert told == load_catalog(PACKAGED_CATALOG).traces == Traces()


def test_the_address_of_the_page_is_the_collectors_own(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    assert set(re.findall(r"http://([\d.]+:\d+)", PAGE)) == {f"{settings.serve_host}:{settings.serve_port}"}


def test_every_name_on_the_page_is_one_that_is_read() -> None:
    starts = (
        "gen_ai|llm|input|output|retrieval|reranker|annotations|evaluations|onlineeval|session|enduser|openinference"
    )
    names = set(re.findall(rf"`((?:{starts})\.[\w.]+)`", PAGE))
    assert len(names) > 40
    parts = {(name, part) for name in names for part in re.split(r"\.N\.(?:annotation\.|evaluation\.)?", name)}
    # A role's message is read by a pattern of names.
    lost = [name for name, part in parts if part not in CODE and part != "gen_ai.user.message"]
    assert lost == []


def test_every_reason_for_no_response_is_on_the_page() -> None:
    code = (ROOT / "onlineeval_dagster" / "traces" / "assemble.py").read_text(encoding="utf-8")
    body = code.partition("def _why_none")[2].partition("\ndef ")[0]
    reasons = ["calls of a model without their texts", *re.findall(r'return f?"([^{"]+)', body)]
    reasons += re.findall(r'else "([^"]+)"', body)
    assert len(reasons) > 6
    assert [reason for reason in reasons if f"| {reason.strip()}" not in PAGE] == []
