from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.decision.domain.deciding import decide, hold_out_bucket
from tests.unit.decision.worlds import EMAIL, NOW, ZALO, event, person, rule, rules, verdict_of

GRANTED = {"care": "granted"}
BOTH = {"zalo-template": GRANTED, "email": GRANTED}


@pytest.mark.parametrize(
    ("consents", "addresses", "channels"),
    [
        (BOTH, {}, [(0, "zalo-template", "phone:0"), (1, "email", "email:0")]),
        (BOTH, {"phones": []}, [(1, "email", "email:0")]),
        ({"email": GRANTED}, {}, [(1, "email", "email:0")]),
        (BOTH | {"email": {"care": "withdrawn"}}, {}, [(0, "zalo-template", "phone:0")]),
        (BOTH, {"phones": [], "emails": []}, "no_address"),
        ({"email": GRANTED}, {"emails": []}, "no_address"),
        ({}, {"emails": []}, "no_consent"),
    ],
)
def test_choices_are_those_with_consent_and_address_in_order(
    consents: dict[str, Any], addresses: dict[str, Any], channels: Any
) -> None:
    verdict = verdict_of({"choices": (ZALO, EMAIL)}, consents=consents, **addresses)
    if isinstance(channels, str):
        assert (verdict.outcome, verdict.choices) == (channels, ())
        return
    assert [
        (choice["choice"], choice["channel"], choice["recipient_ref"]) for choice in verdict.choices
    ] == channels


def test_two_ways_of_one_channel_are_two_choices() -> None:
    other = replace(ZALO, template_id=UUID(int=13))
    verdict = verdict_of({"choices": (ZALO, other)})
    assert [choice["template_id"] for choice in verdict.choices] == [
        str(ZALO.template_id),
        str(other.template_id),
    ]


@pytest.mark.parametrize("percent", [1, 10, 50, 99])
def test_about_as_many_as_asked_are_held_out_and_always_the_same(percent: int) -> None:
    asked = rules(rule(hold_out_percent=percent))
    people = 3000

    def held_out() -> list[int]:
        return [
            number
            for number in range(people)
            if decide(event(), person(number), asked, NOW)[0].outcome == "hold_out"
        ]

    held = held_out()
    assert held == held_out()
    # Four standard deviations.
    spread = 4 * (people * percent / 100 * (1 - percent / 100)) ** 0.5
    assert abs(len(held) - people * percent / 100) < spread


def test_buckets_are_spread_and_differ_between_rules() -> None:
    people = [uuid4() for _ in range(10_000)]
    first, second = uuid4(), uuid4()
    buckets = [hold_out_bucket(first, somebody) for somebody in people]
    assert set(buckets) == set(range(100))
    assert max(buckets.count(bucket) for bucket in range(100)) < 160
    same = sum(
        bucket == hold_out_bucket(second, somebody)
        for bucket, somebody in zip(buckets, people, strict=True)
    )
    assert same < 200


def test_a_bucket_is_the_same_in_every_version_of_this_program() -> None:
    rule_id = UUID("01993d00-0000-7000-8000-000000000001")
    profile_id = UUID("01993d00-0000-7000-8000-000000000002")
    assert hold_out_bucket(rule_id, profile_id) == 63


def test_nobody_is_held_out_at_nought_percent() -> None:
    asked = rules(rule(hold_out_percent=0))
    assert all(
        decide(event(), person(number), asked, NOW)[0].outcome == "acted" for number in range(300)
    )
