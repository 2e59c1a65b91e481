"""Conditions on values: what they come to, and why when it cannot be told."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from libs.conditions import Values, compile_condition
from libs.conditions.limits import VALUE_COUNT_MAX, VALUE_LENGTH_MAX

NOW = datetime(2026, 11, 25, 17, 30, 0, 123456, tzinfo=UTC)


def values() -> Values:
    """A person of Hà Nội who bought something; every case below changes or reads this."""
    return {
        "profile": {
            "ext_id": "p-1",
            "state": "active",
            "given_name": "Nguyệt",
            "family_name": "Trần",
            "birth_year": None,
            "birth_month": 11,
            "birth_day": 26,
            "city": "Hà Nội",
            "country": "",
            "emails": ["nguyet@example.vn"],
            "phones": [],
            "labels": ["VIP", "đã mua"],
            "transaction_value_vnd": 2**53 + 1,
            "lifetime_value_vnd": 6_000_000,
            "churn_score": 0.25,
            "attributes": {
                "tier": "vàng",
                "hạng thẻ": "bạch kim",
                "points": 120,
                "ratio": 5.0,
                "wide": 2**53,
                "opted": True,
                "nothing": None,
                "scores": [1, 2.5],
                "mixed": ["a", 1],
                "none": [],
                "nested": {"deep": {"value": 7}},
            },
            "created_at": NOW - timedelta(days=30, microseconds=1),
            "updated_at": NOW,
        },
        "consent": {"email": {"marketing": "granted"}, "sms": {"marketing": "withdrawn"}},
        "now": NOW,
        "event": {
            "type": "purchase",
            "source": "shop",
            "time": NOW - timedelta(minutes=5),
            "properties": {
                "amount": 500_000,
                "first": False,
                "categories": ["skin-care", "son môi"],
                "text": "12",
            },
        },
    }


MET = [
    "true",
    'event.type == "purchase" && event.source != "web"',
    # Text: code points, letters of Vietnamese, escapes.
    'profile.city == "Hà Nội"',
    'profile.city == "H\\u00e0 N\\u1ed9i"',
    "profile.city == 'Hà Nội'",
    'profile["city"] == "Hà Nội"',
    # A text that is written decomposed means the composed one.
    'profile.city == "Ha\u0300 No\u0323\u0302i"',
    'size(profile.city) == 6 && size(profile.country) == 0 && profile.country == ""',
    'profile.city.startsWith("Hà") && profile.city.endsWith("Nội") && profile.city.contains("à N")',
    '"\uffff" < "\U00010000" && "Z" < "a" && "a" < "đ"',
    'profile.given_name in ["Lan", "Nguyệt"]',
    # Numbers: whole ones and others compare by their value.
    "profile.lifetime_value_vnd >= 5000000 && profile.lifetime_value_vnd < 6000000.5",
    "profile.lifetime_value_vnd == 6000000.0 && profile.lifetime_value_vnd in [1, 6e6]",
    "profile.transaction_value_vnd == 9007199254740993",
    "profile.transaction_value_vnd > 9007199254740992",
    # Beside a double both count as doubles, which have no 2^53 + 1.
    "profile.transaction_value_vnd == 9007199254740992.0",
    "profile.transaction_value_vnd == profile.attributes.wide",
    "profile.churn_score < 1 && profile.churn_score == 0.25",
    "profile.birth_month + 1 - 2 == 10",
    "profile.birth_day > -5",
    # Attributes and properties take the type that they are compared with.
    'profile.attributes.tier == "vàng" && profile.attributes["hạng thẻ"] == "bạch kim"',
    "profile.attributes.points >= 100 && 120.0 == profile.attributes.points",
    "profile.attributes.ratio == 5 && profile.attributes.ratio in [5]",
    "profile.attributes.opted && !event.properties.first && event.properties.first == false",
    "profile.attributes.nested.deep.value == 7",
    "event.properties.amount <= profile.lifetime_value_vnd",
    # Lists.
    '"VIP" in profile.labels && !("vip" in profile.labels) && profile.city in ["Hà Nội"]',
    "size(profile.phones) == 0 && size(profile.emails) == 1 && !(profile.city in profile.phones)",
    '"son môi" in event.properties.categories && !("x" in profile.attributes.none)',
    "1.0 in profile.attributes.scores && 2.5 in profile.attributes.scores",
    # Presence.
    "has(profile.churn_score) && !has(profile.birth_year) && has(event.properties.amount)",
    "!has(profile.attributes.nothing) && !has(profile.attributes.tier.deeper)",
    '"hạng thẻ" in profile.attributes && !("nothing" in profile.attributes)',
    # Times: whole microseconds, calendars by the zone that is named.
    'now - profile.created_at > duration("720h")',
    'now - profile.created_at == duration("720h0.000001s")',
    'profile.created_at + duration("720h") < now && now - duration("10m") < event.time',
    'now == timestamp("2026-11-26T00:30:00.123456+07:00")',
    'now > timestamp("2026-11-25T17:30:00.123455Z")',
    'now.getDate("Asia/Ho_Chi_Minh") == profile.birth_day && now.getDate("UTC") == 25',
    'now.getMonth("Asia/Ho_Chi_Minh") + 1 == profile.birth_month',
    'now.getHours("Asia/Ho_Chi_Minh") == 0 && now.getMinutes("Asia/Ho_Chi_Minh") == 30',
    'now.getDayOfWeek("Asia/Ho_Chi_Minh") == 4 && now.getFullYear("UTC") == 2026',
    # Consent: no record is no consent.
    'consent.granted("email", "marketing") && !consent.granted("sms", "marketing")',
    '!consent.granted("zalo-template", "transactional")',
]

UNKNOWN = {
    "profile.birth_year > 1990": "profile.birth_year is missing",
    "!(profile.birth_year > 1990)": "profile.birth_year is missing",
    "profile.birth_year != 1990": "profile.birth_year is missing",
    "profile.birth_year + 1 == 1991": "profile.birth_year is missing",
    'profile.language == "vi"': "profile.language is missing",
    'profile.attributes.nothing == "x"': "profile.attributes.nothing is missing",
    'profile.attributes.nowhere.at.all == "x"': "profile.attributes.nowhere.at.all is missing",
    'profile.attributes["mã số"] == 1': 'profile.attributes["mã số"] is missing',
    "profile.attributes.tier == 5": "profile.attributes.tier is text, not a number",
    "profile.attributes.tier != 5": "profile.attributes.tier is text, not a number",
    "event.properties.text > 5": "event.properties.text is text, not a number",
    'event.properties.amount == "x"': "event.properties.amount is a number, not text",
    "event.properties.first == 0": "event.properties.first is true or false, not a number",
    "event.properties.amount": "event.properties.amount is a number, not true or false",
    'profile.attributes.nested == "x"': "profile.attributes.nested is an object, not text",
    "5 in profile.attributes.mixed": "profile.attributes.mixed is a list, not a list of numbers",
    '"a" in profile.attributes.mixed': "profile.attributes.mixed is a list, not a list of texts",
    '"a" in profile.attributes.tier': "profile.attributes.tier is text, not a list of texts",
    'profile.attributes.points.contains("1")': "profile.attributes.points is a number, not text",
    "profile.birth_month + 9223372036854775807 > 0": "+ or - leaves the range of its type",
    'now + duration("87600000h") > now': "+ or - leaves the range of its type",
}


@pytest.mark.parametrize("text", MET)
def test_condition_is_met_and_its_negation_is_not(text: str) -> None:
    assert compile_condition(text, "rule").evaluate(values()).state == "met"
    assert compile_condition(f"!({text})", "rule").evaluate(values()).state == "not_met"


@pytest.mark.parametrize(("text", "why"), UNKNOWN.items())
def test_condition_that_cannot_be_told_is_not_met_and_says_why(text: str, why: str) -> None:
    outcome = compile_condition(text, "rule").evaluate(values())
    assert (outcome.state, outcome.met) == ("unknown", False)
    assert [str(problem) for problem in outcome.problems] == [why]


@pytest.mark.parametrize("text", [*MET, *UNKNOWN])
def test_stored_inputs_are_json_and_give_the_same_outcome(text: str) -> None:
    condition = compile_condition(text, "rule")
    stored = json.loads(json.dumps(condition.inputs(values()), allow_nan=False))
    assert condition.evaluate(stored) == condition.evaluate(values())


TRUTH = {"true": True, "false": False, "unknown": None}
ATOMS = {"true": "profile.attributes.opted", "false": "event.properties.first"}
STATES = {True: "met", False: "not_met", None: "unknown"}


def atom(truth: str) -> str:
    return ATOMS.get(truth, "profile.birth_year == 1990")


@pytest.mark.parametrize(("left", "right"), list(product(TRUTH, TRUTH)))
def test_and_and_or_follow_the_three_valued_truth_tables(left: str, right: str) -> None:
    truths = {TRUTH[left], TRUTH[right]}
    conjunction = False if False in truths else None if None in truths else True
    disjunction = True if True in truths else None if None in truths else False
    for operator, expected in (("&&", conjunction), ("||", disjunction)):
        text = f"{atom(left)} {operator} {atom(right)}"
        assert compile_condition(text, "rule").evaluate(values()).state == STATES[expected], text


@pytest.mark.parametrize(
    ("truth", "state"), [("true", "not_met"), ("false", "met"), ("unknown", "unknown")]
)
def test_not_follows_the_three_valued_truth_table(truth: str, state: str) -> None:
    assert compile_condition(f"!({atom(truth)})", "rule").evaluate(values()).state == state


@pytest.mark.parametrize(
    "missing", [{}, {"profile": None}, {"profile": {}}, {"profile": []}, {"profile": "x"}]
)
def test_missing_parts_make_a_condition_unknown(missing: dict[str, Any]) -> None:
    outcome = compile_condition('profile.city == "x"', "segment").evaluate(missing)
    assert [str(problem) for problem in outcome.problems] == ["profile.city is missing"]


def test_consent_that_was_not_looked_up_is_unknown_and_not_refused() -> None:
    outcome = compile_condition('!consent.granted("email", "marketing")', "segment").evaluate({})
    assert [str(problem) for problem in outcome.problems] == ["consent is missing"]


@pytest.mark.parametrize(
    ("field", "value", "state"),
    [
        ("churn_score", 1, "met"),
        ("churn_score", True, "unknown"),
        ("churn_score", float("nan"), "unknown"),
        ("churn_score", float("inf"), "unknown"),
        ("churn_score", 10**400, "unknown"),
        ("churn_score", "0.9", "unknown"),
        ("birth_year", 1990, "met"),
        ("birth_year", 1990.0, "unknown"),
        ("birth_year", 2**63, "unknown"),
        ("birth_year", -(2**63), "not_met"),
        ("city", "x" * VALUE_LENGTH_MAX, "met"),
        ("city", "x" * (VALUE_LENGTH_MAX + 1), "unknown"),
        ("city", "x\0", "unknown"),
        ("city", "x\ud800", "unknown"),
        ("city", b"x", "unknown"),
        ("labels", ["x"] * VALUE_COUNT_MAX, "met"),
        ("labels", ["x"] * (VALUE_COUNT_MAX + 1), "unknown"),
        ("labels", ["x", None], "unknown"),
        ("labels", ["x", "y" * (VALUE_LENGTH_MAX + 1)], "unknown"),
        ("labels", ["x", "y\ud800"], "unknown"),
        ("attributes", {"n": [1, 2.5]}, "met"),
        ("attributes", {"n": [1, True]}, "unknown"),
        ("attributes", {"n": [1, float("nan")]}, "unknown"),
        ("attributes", {"n": [1, 10**400]}, "unknown"),
        ("updated_at", NOW.replace(tzinfo=None), "unknown"),
        ("updated_at", "2026-11-25T17:30:00.123456Z", "met"),
        ("updated_at", "yesterday", "unknown"),
        ("updated_at", datetime.min.replace(tzinfo=UTC), "not_met"),
        ("updated_at", datetime.max.replace(tzinfo=UTC), "met"),
    ],
)
def test_value_counts_only_if_it_has_the_type_of_its_field(
    field: str, value: object, state: str
) -> None:
    text = {
        "churn_score": "profile.churn_score > 0.5",
        "birth_year": "profile.birth_year > 0",
        "city": 'profile.city.startsWith("x")',
        "labels": '"x" in profile.labels',
        "attributes": "1 in profile.attributes.n",
        "updated_at": 'profile.updated_at >= timestamp("2026-11-25T17:30:00.123456Z")',
    }[field]
    outcome = compile_condition(text, "segment").evaluate({"profile": {field: value}})
    assert outcome.state == state
    assert len(outcome.problems) == (state == "unknown")
    assert all(problem.field.startswith(f"profile.{field}") for problem in outcome.problems)


def test_times_differ_by_a_microsecond_at_every_distance_from_the_epoch() -> None:
    later = compile_condition("event.time > now", "rule")
    for year in (1, 1600, 1969, 1970, 2026, 2262, 9999):
        for microsecond in (0, 1, 123456, 999998):
            now = datetime(year, 6, 15, 12, 30, 59, microsecond, tzinfo=UTC)
            after = now + timedelta(microseconds=1)
            assert later.evaluate({"now": now, "event": {"time": after}}).state == "met"
            assert later.evaluate({"now": after, "event": {"time": now}}).state == "not_met"
            assert later.evaluate({"now": now, "event": {"time": now}}).state == "not_met"


def test_every_problem_is_named_once_and_never_with_the_value() -> None:
    text = (
        "profile.birth_year > 1 && profile.attributes.tier > 1 && profile.attributes.tier < 9 "
        "&& profile.birth_year < 9"
    )
    outcome = compile_condition(text, "segment").evaluate(values())
    assert [str(problem) for problem in outcome.problems] == [
        "profile.birth_year is missing",
        "profile.attributes.tier is text, not a number",
    ]


def test_one_attribute_may_be_taken_for_two_types() -> None:
    text = "profile.attributes.tier == 5 || profile.attributes.tier == 'vàng'"
    condition = compile_condition(text, "segment")
    assert condition.evaluate(values()).met
    assert condition.fields == ("profile.attributes.tier",)


def test_fields_and_inputs_are_what_is_read_and_no_more() -> None:
    condition = compile_condition(
        'event.type == "purchase" && profile.attributes["hạng thẻ"] == "x" && '
        "has(profile.birth_year) && profile.attributes.nested.deep.value == 1 && "
        'has(profile.attributes.nested) && now > event.time && consent.granted("sms", "a") && '
        'consent.granted("zalo-template", "marketing") && "VIP" in profile.labels',
        "rule",
    )
    assert condition.fields == (
        "consent.sms.a",
        'consent["zalo-template"].marketing',
        "event.time",
        "event.type",
        "now",
        "profile.attributes.nested",
        "profile.attributes.nested.deep.value",
        'profile.attributes["hạng thẻ"]',
        "profile.birth_year",
        "profile.labels",
    )
    given = values()
    assert condition.inputs(given) == {
        "consent": {"sms": {"a": "none"}, "zalo-template": {"marketing": "none"}},
        "event": {"time": "2026-11-25T17:25:00.123456Z", "type": "purchase"},
        "now": "2026-11-25T17:30:00.123456Z",
        "profile": {
            "attributes": {"nested": {"deep": {"value": 7}}, "hạng thẻ": "bạch kim"},
            "labels": ["VIP", "đã mua"],
        },
    }
    assert given == values()


def test_same_text_is_compiled_once_for_each_scope() -> None:
    text = "profile.churn_score > 0.123"
    assert compile_condition(text, "rule") is compile_condition(text, "rule")
    assert compile_condition(text, "rule") is not compile_condition(text, "segment")
