from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from libs.conditions import Condition, Outcome
from libs.quiet_hours import QuietHours
from services.decision.domain.deciding import Verdict, decide, hold_out_bucket
from tests.unit.decision.worlds import (
    EMAIL,
    NOW,
    SEGMENT,
    ZALO,
    event,
    person,
    rule,
    rules,
    verdict_of,
)

HOUR = timedelta(hours=1)
INSTANT = timedelta(microseconds=1)


def test_a_rule_whose_every_check_passes_acts() -> None:
    asked = rule(segment_id=SEGMENT.segment_id, condition="event.properties.amount > 500000")
    (verdict,) = decide(event(), person(), rules(asked), NOW)
    assert verdict == Verdict(
        outcome="acted",
        reason="every check passed",
        rule=asked,
        segment=SEGMENT,
        not_before=None,
        expires_at=NOW + timedelta(hours=24),
        choices=(
            {
                "choice": 0,
                "channel": "zalo-template",
                "purpose": "care",
                "template_id": str(ZALO.template_id),
                "account_id": str(ZALO.account_id),
                "recipient_ref": "phone:0",
            },
        ),
        inputs={
            "event_id": str(UUID(int=500)),
            "event_time": "2026-11-25T04:59:00+00:00",
            "now": "2026-11-25T05:00:00+00:00",
            "condition": {"event": {"properties": {"amount": 700_000}}},
            "purpose": "care",
            "segment": {"profile": {"city": "Huế"}},
            "hold_out_bucket": hold_out_bucket(asked.rule_id, UUID(int=1000)),
            "consents": {"zalo-template": "granted"},
            "recipient_refs": ["phone:0"],
        },
    )
    assert json.loads(json.dumps(verdict.inputs)) == verdict.inputs


@pytest.mark.parametrize(
    ("outcome", "reason", "terms", "of_person"),
    [
        ("not_in_segment", "segment", {"segment_id": SEGMENT.segment_id}, {"city": "Vinh"}),
        ("expired", "older", {"time_to_live": timedelta(minutes=1)}, {}),
        ("hold_out", "100 of 100", {"hold_out_percent": 100}, {}),
        ("cooldown", "1 hour", {"cooldown": HOUR}, {"last_acted": {UUID(int=100): NOW}}),
        ("no_consent", "none recorded", {}, {"consents": {}}),
        ("no_consent", "none recorded", {}, {"consents": {"zalo-template": {"ads": "granted"}}}),
        ("no_consent", "withdrawn", {}, {"consents": {"zalo-template": {"care": "withdrawn"}}}),
        ("no_address", "zalo-template", {}, {"phones": []}),
    ],
)
def test_each_check_has_its_outcome(
    outcome: str, reason: str, terms: dict[str, Any], of_person: dict[str, Any]
) -> None:
    verdict = verdict_of(terms, **of_person)
    assert verdict.outcome == outcome
    assert reason in verdict.reason
    assert verdict.rule == rule(**terms)
    assert (verdict.choices, verdict.not_before, verdict.expires_at) == ((), None, None)
    assert {"event_id", "event_time", "now", "condition", "purpose"} <= verdict.inputs.keys()


def test_the_checks_come_in_their_order() -> None:
    failing: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "not_in_segment": ({"segment_id": SEGMENT.segment_id}, {"city": "Vinh"}),
        "expired": ({"time_to_live": timedelta(seconds=1)}, {}),
        "hold_out": ({"hold_out_percent": 100}, {}),
        "cooldown": ({"cooldown": HOUR}, {"last_acted": {UUID(int=100): NOW}}),
        "no_consent": ({}, {"consents": {}}),
        "no_address": ({}, {"phones": []}),
    }
    while failing:
        terms: dict[str, Any] = {}
        of_person: dict[str, Any] = {}
        for of_terms, of_somebody in failing.values():
            terms |= of_terms
            of_person |= of_somebody
        assert verdict_of(terms, **of_person).outcome == next(iter(failing))
        del failing[next(iter(failing))]


@pytest.mark.parametrize(
    ("nobody", "reason"),
    [
        (None, "there is no profile"),
        (person(state="inactive"), "the profile is inactive"),
        (person(state="merged"), "the profile is merged"),
        (person(context="test"), "the profile is test data"),
        (person(context="fake"), "the profile is fake data"),
        (person(state="merged", context="fake"), "the profile is merged"),
    ],
)
def test_nobody_to_reach_is_one_decision_before_any_rule(nobody: Any, reason: str) -> None:
    (verdict,) = decide(event(), nobody, rules(rule(), rule(101)), NOW)
    assert (verdict.outcome, verdict.rule) == ("no_profile", None)
    assert reason in verdict.reason
    assert verdict.inputs.keys() == {"event_id", "event_time", "now"}


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ((), 'no active rule is about events of type "purchase"'),
        ((rule(event_type="refund"),), 'no active rule is about events of type "purchase"'),
        (
            (rule(condition="false"), rule(101, condition="1 > 2"), rule(102, event_type="refund")),
            "none of 2 rules about this type of event is met",
        ),
    ],
)
def test_no_rule_is_one_decision_that_says_so(asked: Any, reason: str) -> None:
    (verdict,) = decide(event(), person(), rules(*asked), NOW)
    assert (verdict.outcome, verdict.reason, verdict.rule) == ("no_rule", reason, None)


def test_no_rule_keeps_what_all_conditions_read_and_names_what_was_missing() -> None:
    asked = rules(
        rule(100, condition='profile.city == "Vinh" && event.properties.amount > 1'),
        rule(101, condition="profile.churn_score > 0.5"),
        rule(102, condition='event.properties.amount == "x"'),
        rule(103, condition="profile.lifetime_value_vnd < 1"),
        rule(104, condition='event.source == "x"', event_type="refund"),
    )
    (verdict,) = decide(event(), person(), asked, NOW)
    assert verdict.reason == (
        "none of 4 rules about this type of event is met; unknown, because"
        " profile.churn_score is missing, event.properties.amount is a number, not text"
    )
    assert verdict.inputs["condition"] == {
        "event": {"properties": {"amount": 700_000}},
        "profile": {"city": "Huế", "lifetime_value_vnd": 5_000_000},
    }


@pytest.mark.parametrize("amount", [700_000, 0])
def test_each_condition_is_evaluated_once_whether_it_is_met_or_not(
    monkeypatch: pytest.MonkeyPatch, amount: int
) -> None:
    evaluated: list[str] = []
    evaluate = Condition.evaluate

    def counting(condition: Condition, values: Any) -> Outcome:
        evaluated.append(condition.text)
        return evaluate(condition, values)

    monkeypatch.setattr(Condition, "evaluate", counting)
    conditions = [f"event.properties.amount > {number}" for number in range(5)]
    asked = [rule(100 + place, condition=text) for place, text in enumerate(conditions)]
    decide(event(properties={"amount": amount}), person(), rules(*asked), NOW)
    assert evaluated == conditions


def test_each_met_rule_gives_a_verdict_in_the_order_of_the_rules() -> None:
    asked = [
        rule(103),
        rule(101, condition="false"),
        rule(102, hold_out_percent=100),
        rule(105, event_type="refund"),
        rule(104),
    ]
    verdicts = decide(event(), person(), rules(*asked), NOW)
    assert [(verdict.rule, verdict.outcome) for verdict in verdicts] == [
        (asked[0], "acted"),
        (asked[2], "hold_out"),
        (asked[4], "acted"),
    ]


@pytest.mark.parametrize(
    "condition",
    [
        "profile.churn_score > 0.5",
        "profile.churn_score <= 0.5",
        'event.properties.amount == "700000"',
        "event.properties.missing != 1",
        'profile.attributes["không có"] == "x"',
        "profile.churn_score > 0.5 && true",
        "!(profile.churn_score > 0.5)",
    ],
)
def test_a_condition_that_ends_unknown_is_not_met(condition: str) -> None:
    assert verdict_of({"condition": condition}).outcome == "no_rule"


def test_a_segment_whose_condition_ends_unknown_is_left_out() -> None:
    unknown = replace(SEGMENT, condition="profile.churn_score > 0.5")
    asked = replace(
        rules(rule(segment_id=SEGMENT.segment_id)), segments={SEGMENT.segment_id: unknown}
    )
    (verdict,) = decide(event(), person(), asked, NOW)
    assert (verdict.outcome, verdict.segment) == ("not_in_segment", unknown)
    assert verdict.reason.endswith("; unknown, because profile.churn_score is missing")


@pytest.mark.parametrize(
    ("valid_from", "valid_until", "met"),
    [
        (timedelta(0), None, True),
        (INSTANT, None, False),
        (None, timedelta(0), False),
        (None, INSTANT, True),
        (-HOUR, HOUR, True),
        (-HOUR, -INSTANT, False),
    ],
)
def test_a_rule_is_valid_from_the_first_instant_until_before_the_last(
    valid_from: timedelta | None, valid_until: timedelta | None, *, met: bool
) -> None:
    happened = event()
    asked = rule(
        valid_from=happened.occurred_at + valid_from if valid_from is not None else None,
        valid_until=happened.occurred_at + valid_until if valid_until is not None else None,
    )
    (verdict,) = decide(happened, person(), rules(asked), NOW)
    assert verdict.outcome == ("acted" if met else "no_rule")


@pytest.mark.parametrize(("hours", "outcome"), [(-1, "error"), (1, "acted")])
def test_a_broken_rule_is_told_of_only_while_it_is_valid(hours: int, outcome: str) -> None:
    happened = event()
    broken = rule(100, condition="nothing", valid_from=happened.occurred_at + hours * HOUR)
    verdicts = decide(happened, person(), rules(broken, rule(101)), NOW)
    assert verdicts[0].outcome == outcome
    assert verdicts[-1].outcome == "acted"


@pytest.mark.parametrize(
    ("age", "outcome"),
    [(HOUR - INSTANT, "acted"), (HOUR, "expired"), (-HOUR, "acted")],
)
def test_an_event_is_worth_acting_on_for_so_long(age: timedelta, outcome: str) -> None:
    happened = event(occurred_at=NOW - age)
    (verdict,) = decide(happened, person(), rules(rule(time_to_live=HOUR)), NOW)
    assert verdict.outcome == outcome


@pytest.mark.parametrize(
    ("ago", "outcome"),
    [
        (HOUR - INSTANT, "cooldown"),
        (HOUR, "acted"),
        # Another process decided with a later clock while this one waited for the person.
        (-INSTANT, "cooldown"),
    ],
)
def test_a_cooldown_holds_until_its_last_instant(ago: timedelta, outcome: str) -> None:
    verdict = verdict_of({"cooldown": HOUR}, last_acted={UUID(int=100): NOW - ago})
    assert verdict.outcome == outcome
    assert verdict.inputs["last_acted_at"] == (NOW - ago).isoformat()


def test_a_cooldown_is_of_one_rule() -> None:
    asked = rules(rule(100, cooldown=HOUR), rule(101, cooldown=HOUR), rule(102))
    acted = {UUID(int=101): NOW, UUID(int=102): NOW}
    verdicts = decide(event(), person(last_acted=acted), asked, NOW)
    assert [verdict.outcome for verdict in verdicts] == ["acted", "cooldown", "acted"]
    assert verdicts[0].inputs["last_acted_at"] is None
    assert "last_acted_at" not in verdicts[2].inputs


def test_what_acted_in_a_batch_cools_down_the_rest_of_it() -> None:
    somebody = person()
    asked = rules(rule(100, cooldown=HOUR), rule(101, cooldown=HOUR, hold_out_percent=100))
    told: list[list[str]] = []
    for number in range(3):
        verdicts = decide(event(event_id=UUID(int=number)), somebody, asked, NOW)
        somebody.note(verdicts, NOW)
        told.append([verdict.outcome for verdict in verdicts])
    assert told == [["acted", "hold_out"], ["cooldown", "hold_out"], ["cooldown", "hold_out"]]
    assert somebody.last_acted == {UUID(int=100): NOW}


def test_deciding_changes_nothing_that_it_was_given() -> None:
    somebody, happened = person(), event()
    asked = rules(rule(cooldown=HOUR))
    first = decide(happened, somebody, asked, NOW)
    assert decide(happened, somebody, asked, NOW) == first
    assert (somebody, happened) == (person(), event())


def test_quiet_hours_make_an_acting_decision_wait_and_expire_later() -> None:
    verdict = verdict_of({"quiet_hours": QuietHours("11:00", "14:30"), "time_to_live": HOUR})
    assert (verdict.outcome, verdict.reason) == ("acted", "waits for quiet hours to end")
    assert verdict.not_before == datetime(2026, 11, 25, 7, 30, tzinfo=UTC)
    assert verdict.expires_at == datetime(2026, 11, 25, 8, 30, tzinfo=UTC)


def test_outside_of_quiet_hours_nothing_waits() -> None:
    verdict = verdict_of({"quiet_hours": QuietHours("22:00", "07:00"), "time_to_live": HOUR})
    assert (verdict.reason, verdict.not_before) == ("every check passed", None)
    assert verdict.expires_at == NOW + HOUR


def test_reasons_tell_nothing_of_the_person() -> None:
    secret = {
        "given_name": "Ngọc-Hạnh",
        "city": "Thủ Đức",
        "phones": ["+84901234567"],
        "emails": ["ngoc@example.vn"],
        "attributes": {"tier": "bạch kim"},
    }
    about_them = {"condition": 'profile.attributes.tier == "bạch kim"', "choices": (ZALO, EMAIL)}
    reasons = [
        verdict_of(about_them | terms, **(secret | of_person)).reason
        for terms, of_person in (
            ({}, {}),
            ({"condition": 'profile.attributes.tier == "x"'}, {}),
            ({"condition": "profile.attributes.tier > 1 && profile.churn_score > 1"}, {}),
            ({"segment_id": SEGMENT.segment_id}, {}),
            ({"time_to_live": INSTANT}, {}),
            ({"hold_out_percent": 100}, {}),
            ({"cooldown": HOUR}, {"last_acted": {UUID(int=100): NOW}}),
            ({}, {"consents": {}}),
            ({}, {"phones": [], "emails": []}),
            ({}, {"state": "merged"}),
        )
    ]
    assert len(set(reasons)) == len(reasons)
    told = " ".join(reasons)
    for value in ("Ngọc", "Thủ Đức", "8490", "@", "bạch kim", str(UUID(int=1000)), "ngoc"):
        assert value not in told
