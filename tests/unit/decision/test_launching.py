"""What becomes of the members of a launch."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from libs.fields import Fields
from libs.quiet_hours import QuietHours
from services.decision.domain.launching import Launch, Member, Snapshot, Tally
from services.decision.domain.rule import (
    check_condition,
    check_terms,
    document_of,
    terms_of,
)
from services.decision.domain.rule_set import RuleSet
from services.decision.errors import ConditionInvalidError
from tests.unit.decision.worlds import EMAIL, NOW, SEGMENT, ZALO, ZONE, person, rule, terms

LAUNCHED: dict[str, Any] = {"trigger": "launch", "event_type": ""}
SNAPSHOT = Snapshot(snapshot_id=UUID(int=41), member_count=3, digest=bytes(32), segment=SEGMENT)


def launch(
    *, campaign_state: Any = "active", age: timedelta = timedelta(0), **terms: Any
) -> Launch:
    return Launch(
        launch_id=UUID(int=51),
        rule=rule(**(LAUNCHED | terms)),
        snapshot=SNAPSHOT,
        campaign_state=campaign_state,
        began_at=NOW - age,
        actor="an",
    )


def verdict(of: Launch, **changes: Any) -> Any:
    return of.decide(Member(4, person(**changes)), time_zone=ZONE, now=NOW)


def test_who_passes_every_check_is_acted_for() -> None:
    decided = verdict(launch())
    assert (decided.outcome, decided.reason) == ("acted", "every check passed")
    assert decided.choices[0]["recipient_ref"] == "phone:0"
    assert decided.expires_at == NOW + timedelta(hours=24)
    assert decided.inputs["member_version"] == 4


@pytest.mark.parametrize(
    ("rule_terms", "changes", "outcome"),
    [
        ({}, {"state": "merged"}, "no_profile"),
        ({}, {"context": "test"}, "no_profile"),
        ({"condition": 'profile.city == "Hà Nội"'}, {}, "no_rule"),
        ({"condition": "profile.churn_score > 0.5"}, {}, "no_rule"),
        ({"hold_out_percent": 100}, {}, "hold_out"),
        ({"cooldown": timedelta(hours=2)}, {"last_acted": {UUID(int=100): NOW}}, "cooldown"),
        ({}, {"consents": {}}, "no_consent"),
        (
            {"choices": (EMAIL,)},
            {"consents": {"email": {"care": "granted"}}, "emails": []},
            "no_address",
        ),
    ],
)
def test_each_check_of_an_event_is_one_of_a_launch(
    rule_terms: dict[str, Any], changes: dict[str, Any], outcome: str
) -> None:
    asked = launch(**rule_terms)
    decided = verdict(asked, **changes)
    assert decided.outcome == outcome
    # The rule and the segment of the launch are named whatever comes of it.
    assert (decided.rule, decided.segment) == (asked.rule, SEGMENT)


def test_membership_is_the_snapshot_s_and_not_asked_again() -> None:
    assert SEGMENT.condition == 'profile.city == "Huế"'
    assert verdict(launch(), city="Hà Nội").outcome == "acted"


def test_what_was_missing_is_told_and_never_the_value() -> None:
    decided = verdict(launch(condition="profile.churn_score > 0.5"))
    assert decided.reason == (
        "the rule's condition is not met; unknown, because profile.churn_score is missing"
    )


def test_a_condition_that_cannot_be_asked_any_more_is_an_error() -> None:
    decided = verdict(launch(condition="profile.shoe_size > 1"))
    assert decided.outcome == "error"
    assert "does not compile any more (line 1, column 1)" in decided.reason


def test_quiet_hours_make_a_message_wait() -> None:
    decided = verdict(launch(quiet_hours=QuietHours("11:00", "13:00")))
    assert decided.not_before == NOW + timedelta(hours=1)
    assert decided.expires_at == decided.not_before + timedelta(hours=24)


@pytest.mark.parametrize(
    ("of", "may_act", "outcome"),
    [
        (launch(time_to_live=timedelta(hours=1), age=timedelta(minutes=59)), True, "acted"),
        (launch(time_to_live=timedelta(hours=1), age=timedelta(hours=1)), False, "expired"),
        (launch(campaign_state="ended"), False, "expired"),
    ],
)
def test_nobody_is_acted_for_after_the_end(of: Launch, may_act: bool, outcome: str) -> None:  # noqa: FBT001
    assert of.may_act_at(NOW) == may_act
    assert verdict(of).outcome == outcome


def test_an_estimate_counts_by_outcome_and_first_channel() -> None:
    both = launch(choices=(EMAIL, ZALO))
    tally = Tally()
    for consents in (("email",), ("zalo-template",), ("email", "zalo-template"), ()):
        granted = {channel: {"care": "granted"} for channel in consents}
        tally.add(verdict(both, consents=granted))
    estimate = tally.estimate(9)
    assert (estimate.member_count, estimate.asked_count) == (9, 4)
    assert estimate.outcomes == {"acted": 3, "no_consent": 1}
    assert estimate.channels == {"email": 2, "zalo-template": 1}


def test_a_launched_rule_has_no_event_type_and_no_segment() -> None:
    found = Fields("rule")
    check_terms(found, terms(**LAUNCHED))
    assert found.violations == []
    check_terms(found, terms(trigger="launch", segment_id=SEGMENT.segment_id))
    assert [violation.field for violation in found.violations] == [
        "rule.event_type",
        "rule.segment_id",
    ]


def test_a_launched_rule_is_about_no_event() -> None:
    rules = RuleSet(7, (rule(**LAUNCHED, condition="profile.shoe_size > 1"),), {}, ZONE)
    assert (list(rules.about("")), list(rules.broken())) == ([], [])


def test_a_version_from_before_there_were_launches_is_about_events() -> None:
    document = document_of(terms())
    assert document.pop("trigger") == "event"
    assert terms_of(document) == terms()
    assert terms_of(document_of(terms(**LAUNCHED))).trigger == "launch"


def test_a_launched_rule_reads_what_a_segment_reads() -> None:
    check_condition('profile.city == "Huế" && consent.granted("email", "care")', "launch")
    with pytest.raises(ConditionInvalidError) as refused:
        check_condition('true || event.type == "purchase"', "launch")
    assert "a launch has no event; only a rule about events has one" in str(refused.value)
    assert refused.value.metadata["column"] == "9"
