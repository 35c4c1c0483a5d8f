"""Contracts, their Arrow schemas, and the list of tables."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from onlineeval_dagster.contracts.arrow import arrow_schema, from_table, to_table
from onlineeval_dagster.contracts.estimates import Estimate, MetricPoint
from onlineeval_dagster.contracts.events import EVENTS, Label, Response, Verdict
from onlineeval_dagster.contracts.rows import Selection
from onlineeval_dagster.contracts.tables import TABLES
from tests.worlds import NOON, answer, deploy

COMMITTED = Path(__file__).parent / "schemas.json"


def _described() -> dict[str, list[str]]:
    return {
        name: [f"{field.name}: {field.type}{'' if field.nullable else ' not null'}" for field in table.schema]
        for name, table in TABLES.items()
    }


def test_schemas_are_the_committed_ones_and_grow_by_nullable_columns_only():
    committed = json.loads(COMMITTED.read_text())
    now = _described()
    for table, columns in committed.items():
        assert [column for column in now[table] if column in columns] == columns, f"{table} lost or changed a column"
        for column in set(now[table]) - set(columns):
            assert not column.endswith("not null"), f"{table}.{column} is new and not nullable"
    assert now == committed, "a column is new: add it to tests/contracts/schemas.json"


@pytest.mark.parametrize("name", TABLES)
def test_each_field_of_a_contract_is_a_column_of_the_same_name_order_and_nullability(name):
    contract = TABLES[name].contract
    schema = arrow_schema(contract)
    assert schema.names == list(contract.model_fields)
    for field, info in zip(schema, contract.model_fields.values(), strict=True):
        allows_none = type(None) in getattr(info.annotation, "__args__", ())
        assert field.nullable == allows_none, field.name


@pytest.mark.parametrize("name", TABLES)
def test_every_table_says_what_it_is_whose_it_is_and_what_identifies_a_row(name):
    table = TABLES[name]
    assert table.description.endswith(".")
    assert table.owner
    assert table.contract.__doc__
    assert set(table.key) <= set(table.schema.names)
    assert set(table.day_of) <= set(table.schema.names)


def test_a_contract_survives_the_way_through_arrow():
    rows = [
        answer(1, latency_ms=3, new_user=True, attributes={"a": [1, {"b": None}]}, input_tokens=7),
        answer(2, at=datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC), query="", response="\u0000 é 🙂"),
    ]
    assert from_table(to_table(rows, Response), Response) == rows
    changes = [deploy("d1", traffic_share=0.5)]
    assert from_table(to_table(changes, EVENTS["deploy"]), EVENTS["deploy"]) == changes


def test_unknown_fields_are_kept_in_attributes():
    line = answer(1).model_dump_json()[:-1] + ', "temperature": 0.2, "attributes": {"plan": "pro"}}'
    line = line.replace('"attributes":{},', "")
    assert Response.model_validate_json(line).attributes == {"temperature": 0.2, "plan": "pro"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("latency_ms", -1),
        ("latency_ms", float("inf")),
        ("latency_ms", "12"),
        ("input_tokens", 2**63),
        ("response_id", ""),
        ("new_user", "yes"),
        ("occurred_at", 1_700_000_000),
        ("occurred_at", "1700000000"),
        ("occurred_at", "2026-11-10T12:00:00"),
        ("occurred_at", "1969-11-10T12:00:00Z"),
    ],
)
def test_what_does_not_fit_is_refused_not_guessed(field, value):
    with pytest.raises(ValidationError):
        Response.model_validate(answer(1).model_dump() | {field: value})


def test_times_are_held_in_utc():
    moment = Response.model_validate_json(
        answer(1).model_dump_json().replace("2026-11-10T12:00:00Z", "2026-11-10T14:00:00+02:00")
    ).occurred_at
    assert moment == NOON
    assert moment.tzinfo == UTC


def test_a_verdict_has_a_score_or_an_error_never_both():
    fields = {"event_id": "v", "occurred_at": NOON, "received_at": NOON, "response_id": "r", "axis": "a"}
    fields |= {"judge": "j", "judge_version": "1"}
    for wrong in ({}, {"score": 2, "error_kind": "empty"}):
        with pytest.raises(ValidationError, match="either a score or an error_kind"):
            Verdict(**fields, **wrong)


def test_every_response_has_a_chance_unless_it_was_filtered():
    fields = {"response_id": "r", "response_at": NOON, "judge": "j", "axis": "a", "judge_version": "1"}
    fields |= {"stratum": "normal", "policy_version": "p", "selected_at": NOON}
    with pytest.raises(ValidationError, match="inclusion probability"):
        Selection(**fields, state="not_selected")
    with pytest.raises(ValidationError, match="greater than 0"):
        Selection(**fields, state="selected", inclusion_probability=0.0)


def test_a_point_has_a_value_or_a_reason_and_an_estimate_lies_in_its_interval():
    point = {"metric": "m", "judge_version": "none", "grain": "day", "window_start": NOON, "slice": "all"}
    point |= {"slice_value": "all", "metric_version": "1", "population": 3, "n": 3}
    with pytest.raises(ValidationError, match="value or a reason"):
        MetricPoint(**point)
    with pytest.raises(ValidationError, match="low <= value <= high"):
        Estimate(value=0.5, low=0.6, high=0.7, n=3, n_effective=3.0, method="wilson")


def test_a_label_lies_on_its_responses_day():
    label = TABLES["labels"]
    assert label.day_of == ("response_at", "occurred_at")
    assert Label.model_fields["inclusion_probability"].default is None
