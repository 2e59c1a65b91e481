from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from libs.fields import Fields
from libs.quiet_hours import QuietHours
from services.decision.domain.rule import (
    Choice,
    RuleTerms,
    check_condition,
    check_terms,
    condition_of,
    document_of,
    terms_of,
)
from services.decision.errors import ConditionInvalidError
from tests.unit.decision.worlds import EMAIL, NOW, ZALO, rule, terms

FULL = terms(
    condition='event.properties.amount > 1 && profile.city == "Huế"',
    segment_id=UUID(int=31),
    cooldown=timedelta(days=366),
    priority=-1000,
    quiet_hours=QuietHours("22:00", "07:05"),
    hold_out_percent=100,
    choices=(ZALO, EMAIL, ZALO),
    time_to_live=timedelta(days=30, microseconds=-1),
    valid_from=datetime(2026, 11, 25, 1, 2, 3, 456789, tzinfo=UTC),
    valid_until=datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
)


def violations(**changes: Any) -> list[str]:
    found = Fields("rule")
    check_terms(found, terms(**changes))
    return [violation.field for violation in found.violations]


@pytest.mark.parametrize("stored", [terms(), FULL, terms(cooldown=timedelta(microseconds=1))])
def test_a_document_holds_everything_that_a_rule_says(stored: RuleTerms) -> None:
    assert terms_of(json.loads(json.dumps(document_of(stored)))) == stored


def test_a_document_is_told_apart_by_every_field() -> None:
    documents = {json.dumps(document_of(terms()))}
    for name in FULL.__dataclass_fields__:
        documents.add(json.dumps(document_of(terms(**{name: getattr(FULL, name)}))))
    same = {"name", "trigger", "event_type", "purpose"}
    assert len(documents) == 1 + len(FULL.__dataclass_fields__) - len(same)


def test_an_etag_names_the_version() -> None:
    assert rule().etag == "v3"


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "x" * 64},
        {"event_type": "cart-abandoned_2.0"},
        {"priority": 1000},
        {"priority": -1000},
        {"hold_out_percent": 0},
        {"hold_out_percent": 100},
        {"cooldown": timedelta(microseconds=1)},
        {"cooldown": timedelta(days=366)},
        {"time_to_live": timedelta(microseconds=1)},
        {"time_to_live": timedelta(days=30)},
        {"quiet_hours": QuietHours("00:00", "23:59")},
        {"quiet_hours": QuietHours("22:00", "07:00")},
        {"valid_from": NOW, "valid_until": NOW + timedelta(microseconds=1)},
        {"valid_until": NOW},
        {"choices": (ZALO,) * 8},
        {"condition": "x" * 5000},
    ],
)
def test_good_terms_pass(changes: dict[str, Any]) -> None:
    assert violations(**changes) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "Cảm ơn"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"event_type": ""}, "event_type"),
        ({"event_type": "Purchase"}, "event_type"),
        ({"condition": "\x00"}, "condition"),
        ({"condition": "\ud800"}, "condition"),
        ({"purpose": ""}, "purpose"),
        ({"purpose": "Chăm sóc"}, "purpose"),
        ({"purpose": "care_"}, "purpose"),
        ({"priority": 1001}, "priority"),
        ({"priority": -1001}, "priority"),
        ({"hold_out_percent": -1}, "hold_out_percent"),
        ({"hold_out_percent": 101}, "hold_out_percent"),
        ({"cooldown": timedelta(0)}, "cooldown"),
        ({"cooldown": timedelta(seconds=-1)}, "cooldown"),
        ({"cooldown": timedelta(days=366, microseconds=1)}, "cooldown"),
        ({"time_to_live": timedelta(0)}, "time_to_live"),
        ({"time_to_live": timedelta(seconds=-1)}, "time_to_live"),
        ({"time_to_live": timedelta(days=30, microseconds=1)}, "time_to_live"),
        ({"quiet_hours": QuietHours("", "07:00")}, "quiet_hours.start"),
        ({"quiet_hours": QuietHours("24:00", "07:00")}, "quiet_hours.start"),
        ({"quiet_hours": QuietHours("9:00", "11:00")}, "quiet_hours.start"),
        ({"quiet_hours": QuietHours("22:00", "07:60")}, "quiet_hours.end"),
        ({"quiet_hours": QuietHours("22:00", "07:00:00")}, "quiet_hours.end"),
        ({"quiet_hours": QuietHours("22:00", "\u0660\u0667:00")}, "quiet_hours.end"),
        ({"quiet_hours": QuietHours("22:00", "22:00")}, "quiet_hours.end"),
        ({"valid_from": NOW, "valid_until": NOW}, "valid_until_time"),
        ({"choices": ()}, "choices"),
        ({"choices": (ZALO,) * 9}, "choices"),
        ({"choices": (ZALO, Choice("fax", UUID(int=1), UUID(int=2)))}, "choices[1].channel"),
        ({"choices": (Choice("", UUID(int=1), UUID(int=2)),)}, "choices[0].channel"),
    ],
)
def test_bad_fields_are_named(changes: dict[str, Any], field: str) -> None:
    assert violations(**changes) == [f"rule.{field}"]


def test_all_bad_fields_are_named_at_once() -> None:
    assert violations(name="", purpose="", priority=5000, choices=()) == [
        "rule.name",
        "rule.purpose",
        "rule.priority",
        "rule.choices",
    ]


def test_no_condition_is_always_met() -> None:
    check_condition("")
    assert condition_of(terms(condition="")) == "true"
    assert condition_of(terms(condition="false")) == "false"


@pytest.mark.parametrize(
    ("condition", "line", "column", "expected"),
    [
        ('true &&\n  profile.citi == "Huế"', "2", "3", "profile.city"),
        ("profile.city", "1", "1", None),
        ("x" * 4097, "1", "1", None),
        (" ", "1", None, None),
    ],
)
def test_a_condition_that_does_not_compile_says_where(
    condition: str, line: str, column: str | None, expected: str | None
) -> None:
    with pytest.raises(ConditionInvalidError) as refused:
        check_condition(condition)
    metadata = refused.value.metadata
    assert metadata["line"] == line
    assert column is None or metadata["column"] == column
    assert expected is None or metadata["expected"] == expected
