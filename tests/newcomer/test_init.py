"""`onlineeval init` from the file to the catalog: what it prints, what it writes, what it refuses."""

import io
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from onlineeval_dagster.catalog.load import load_catalog, load_sources
from onlineeval_dagster.errors import CatalogError, SourceError
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.sources.incremental import pull_all
from onlineeval_dagster.verbs import newcomer
from onlineeval_dagster.warehouse.dry_run import check_metrics
from tests.newcomer.files import REMOTE, flat, lines, own, pair
from tests.pipeline import living_at


class Desk:
    """A folder of one's own, and what the command said last."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.catalog, self.said = folder, folder / "catalog", ""
        self._patch = monkeypatch

    def init(self, file: Path, **options: Any) -> str:
        out = Console(width=10_000, record=True, file=io.StringIO())
        self._patch.setattr(newcomer, "out", out)
        given: dict[str, Any] = {"to": self.catalog, "cap": 20.0, "yes": True} | options
        try:
            with living_at(self.folder / "home"):
                newcomer.init(file, **given)
        finally:
            self.said = out.export_text()
        return self.said

    def sampling(self) -> dict[str, Any]:
        return tomllib.loads((self.catalog / "sampling.toml").read_text(encoding="utf-8"))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    return lines(tmp_path / "chats.jsonl", [flat(n, user=f"u{n % 5}") for n in range(97)])


@pytest.mark.parametrize("row", [flat, pair, own], ids=["flat rows", "OpenAI pairs", "own events"])
def test_each_shape_of_file_gives_a_catalog_that_is_in_order(desk: Desk, tmp_path: Path, row: Any) -> None:
    file = lines(tmp_path / "chats.jsonl", [row(n) for n in range(60)])
    said = desk.init(file)
    assert "60 answers" in said
    catalog = load_catalog(desk.catalog)
    check_metrics(catalog)
    assert catalog.metrics.profile == "weekly"
    assert not list(desk.catalog.rglob("*.py"))


def test_three_rows_are_shown_redacted_and_cut(desk: Desk, tmp_path: Path) -> None:
    said = desk.init(lines(tmp_path / "x.jsonl", [flat(n, answer="Long. " * 100, user=f"bob{n}") for n in range(9)]))
    assert "Where is parcel 2? Write to [e-mail]" in said and "parcel 3" not in said
    assert "anna@" not in said and "Long. Long." in said and "Long. " * 30 not in said
    assert "2026-11-09 08:00:00 UTC" in said and "bob1" in said


def test_markup_in_a_text_is_shown_as_it_stands(desk: Desk, tmp_path: Path) -> None:
    assert "[bold]?[/red]" in desk.init(
        lines(tmp_path / "x.jsonl", [flat(n, question="[bold]?[/red]") for n in range(3)])
    )


def test_the_next_commands_are_the_ones_to_type(desk: Desk, tmp_path: Path) -> None:
    rows = [{"q": "Where?", "a": "There.", "at": f"2026-11-09 08:{n:02}:00"} for n in range(9)]
    file = lines(tmp_path / "my chats.jsonl", rows)
    said = desk.init(file, column=["query=q", "response=a", "occurred_at=at"], zone="Europe/Berlin", app_name="shop")
    expected = f"  onlineeval import '{file}' --map query=q --map response=a --map occurred_at=at --app shop"
    assert f"  export ONLINEEVAL_CATALOG={desk.catalog}\n" in said
    assert f"{expected} --zone Europe/Berlin\n  onlineeval run\n" in said
    assert "OPENAI_API_KEY" not in said


def test_the_source_that_was_learned_reads_the_same_answers(desk: Desk, tmp_path: Path) -> None:
    rows = [{"q": "Where?", "a": f"There {n}.", "at": f"2026-11-09T08:{n:02}:00Z"} for n in range(9)]
    desk.init(lines(tmp_path / "My-Chats 1.jsonl", rows), column=["query=q", "response=a", "occurred_at=at"])
    found = load_sources(desk.catalog)
    assert list(found) == ["my_chats_1"]
    with living_at(tmp_path / "home") as settings:
        later = newcomer.datetime(2100, 1, 1, tzinfo=newcomer.UTC)
        (pulled,) = pull_all(settings, found, now=later)
    assert (pulled.events, pulled.bad, pulled.error) == (9, 0, None)


def test_rows_without_a_time_leave_no_source_that_could_not_date_them(desk: Desk, tmp_path: Path) -> None:
    file = lines(tmp_path / "x.jsonl", [{"question": "Where?", "answer": "There."}])
    said = desk.init(file, at="2026-11-09T08:00:00Z")
    assert load_sources(desk.catalog) == {}
    assert f"onlineeval import {file} --at 2026-11-09T08:00:00Z" in said


def test_local_judges_see_everything_and_no_budget_is_confirmed(desk: Desk, chats: Path) -> None:
    said = desk.init(chats)
    assert "local, costs nothing" in said and "no budget is confirmed" in said
    sampling = desk.sampling()
    assert "budget" not in sampling
    assert {sampling[name]["rate"] for name in ("flagged", "new_version", "normal")} == {1.0}


def test_beside_local_judges_stands_what_models_of_the_list_would_cost(desk: Desk, chats: Path) -> None:
    said = desk.init(chats, answers_per_day=3_000.0)
    told = re.search(r"at 10 % and 100 % \(list of 2026-.*\): (\S+) (\$[\d.,]+) and (\$[\d.,]+); .*--model NAME", said)
    assert told, said
    again = desk.init(chats, to=desk.folder / "priced", answers_per_day=3_000.0, model=told[1])
    row = next(line for line in again.splitlines() if "all judges" in line)
    assert told[2] in row and told[3] in row
    assert "With a model" not in again


def test_a_model_is_priced_by_the_dated_list_and_the_rates_keep_within_the_cap(desk: Desk, chats: Path) -> None:
    said = desk.init(chats, model="gpt-4o-mini", cap=0.1, answers_per_day=300.0)
    assert "Prices of gpt-4o-mini: the list of 2026-" in said
    catalog = load_catalog(desk.catalog)
    (judge,) = catalog.live_judges
    assert (judge.model, judge.price and judge.price.input_usd_per_million) == ("gpt-4o-mini", 0.15)
    assert catalog.sampling.budget is not None and catalog.sampling.budget.monthly_cap_usd == 0.1
    assert not catalog.sampling.budget.judge_history
    assert 0 < catalog.sampling.normal.rate < 0.1
    assert catalog.sampling.flagged.rate == catalog.sampling.normal.rate
    assert "say so before the first run: --judge-history" in said
    assert "OPENAI_API_KEY" in said


def test_history_that_is_wanted_is_priced_and_written(desk: Desk, chats: Path) -> None:
    said = desk.init(chats, model="mine", price_in=0.0, price_out=0.0, judge_history=True)
    assert "--judge-history: the 97 answers of this file cost $0 more, once." in said
    budget = load_catalog(desk.catalog).sampling.budget
    assert budget is not None and budget.judge_history


def test_a_cap_of_nothing_confirms_nothing(desk: Desk, chats: Path) -> None:
    said = desk.init(chats, model="gpt-4o", cap=0.0)
    assert "pays for no remote judge" in said and "no monthly budget is confirmed" in said and "write [budget]" in said
    assert load_catalog(desk.catalog).asked_judges == ()


def test_much_traffic_keeps_the_standard_profile_and_rates_no_higher_than_before(desk: Desk, chats: Path) -> None:
    desk.init(chats, users_per_day=10_000.0, answers_per_day=40_000.0)
    assert load_catalog(desk.catalog).metrics.profile == "standard"
    sampling = desk.sampling()
    assert [sampling[name]["rate"] for name in ("flagged", "new_version", "normal")] == [1.0, 0.3, 0.1]


def test_an_environment_that_nothing_would_count_is_counted(desk: Desk, tmp_path: Path) -> None:
    said = desk.init(lines(tmp_path / "x.jsonl", [flat(n, environment="live") for n in range(9)]))
    assert "'live'" in said
    assert load_catalog(desk.catalog).sampling.environments == ("live",)


def test_a_catalog_that_is_there_stays_as_it_is_without_force(desk: Desk, chats: Path) -> None:
    desk.init(chats)
    before = {file: file.read_bytes() for file in desk.catalog.rglob("*") if file.is_file()}
    with pytest.raises(CatalogError, match=r"--to .*catalog: is there already and is not overwritten.*--force"):
        desk.init(chats, cap=5.0)
    assert {file: file.read_bytes() for file in desk.catalog.rglob("*") if file.is_file()} == before


def test_with_force_a_catalog_keeps_its_own_judges_and_gets_its_budget(desk: Desk, chats: Path) -> None:
    desk.init(chats)
    (desk.catalog / "judges" / "tone.md").write_text(REMOTE, encoding="utf-8")
    assert [judge.name for judge in load_catalog(desk.catalog).waiting_judges] == ["tone"]
    said = desk.init(chats, force=True)
    assert "judge tone (gpt-4o-mini)" in said
    assert load_catalog(desk.catalog).waiting_judges == ()
    assert list(load_sources(desk.catalog)) == ["chats"]


def test_a_judge_that_cannot_be_read_is_named_before_anything_is_priced(desk: Desk, chats: Path) -> None:
    desk.init(chats)
    (desk.catalog / "judges" / "tone.md").write_text("no judge", encoding="utf-8")
    with pytest.raises(CatalogError, match=r"judges/tone\.md: no front matter"):
        desk.init(chats, force=True)
    assert "A month of judging" not in desk.said


def test_a_smaller_cap_never_leaves_the_budget_from_before(desk: Desk, chats: Path) -> None:
    desk.init(chats, model="gpt-4o")
    with pytest.raises(CatalogError, match=r"has a \[budget\] from before; raise the cap, or take \[budget\] out"):
        desk.init(chats, force=True, cap=0.0)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"cap": None}, r"init: no monthly cap, and no terminal to ask at; add --cap 50 --yes"),
        ({"yes": False}, r"init: no terminal to confirm at; add --yes"),
        ({"cap": float("nan")}, r"--cap: must be US dollars"),
        ({"model": "unheard-of"}, r"--model unheard-of: its price is not in prices\.toml.*--price-in and --price-out"),
        ({"model": "gpt-4o", "price_in": 1.0}, r"--model gpt-4o: one price was given; give both"),
        ({"price_in": 1.0, "price_out": 1.0}, r"--price-in, --price-out: .*give --model too"),
    ],
)
def test_what_cannot_be_known_is_one_error_and_nothing_is_written(
    desk: Desk, chats: Path, options: dict[str, Any], error: str
) -> None:
    with pytest.raises(CatalogError, match=error):
        desk.init(chats, **options)
    assert not desk.catalog.exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"source": "csvx"}, "dialect 'csvx' is unknown; there are"),
        ({"column": ["query"]}, "--map: 'query' has no ="),
        ({"column": ["query=q"]}, "no row has 'q'"),
        ({"zone": "Mars"}, "zone 'Mars' is no time zone"),
        ({"environment": ""}, "init: --environment: .*at least 1 character"),
    ],
)
def test_a_wrong_word_about_the_file_is_named(desk: Desk, chats: Path, options: dict[str, Any], error: str) -> None:
    with pytest.raises(SourceError, match=error):
        desk.init(chats, **options)
    assert not desk.catalog.exists()


def test_a_file_that_is_not_there_is_named(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.jsonl: no such file"):
        desk.init(tmp_path / "nowhere.jsonl")


def test_a_database_is_no_log_file(desk: Desk, chats: Path) -> None:
    with pytest.raises(SourceError, match="url"):
        desk.init(chats, source="sql")


def test_the_package_is_never_written_to(desk: Desk, chats: Path) -> None:
    with pytest.raises(CatalogError, match="is the packaged catalog"):
        desk.init(chats, to=PACKAGED_CATALOG, force=True)
