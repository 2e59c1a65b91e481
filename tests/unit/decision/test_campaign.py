from __future__ import annotations

from typing import get_args

import pytest

from libs.fields import Fields
from services.decision.domain.campaign import NewCampaign, State, check_campaign, may_become


def violations(name: str, display_name: str = "") -> list[str]:
    found = Fields("campaign")
    check_campaign(found, NewCampaign(name=name, display_name=display_name))
    return [violation.field for violation in found.violations]


@pytest.mark.parametrize("name", ["t", "tet.2027", "a_b-c", "x" * 64])
def test_good_campaigns_pass(name: str) -> None:
    assert violations(name, "Tết 2027" * 25) == []


@pytest.mark.parametrize(
    ("name", "display_name", "fields"),
    [
        ("", "", ["campaign.name"]),
        ("Tết", "", ["campaign.name"]),
        ("x" * 65, "", ["campaign.name"]),
        ("tet", "x" * 201, ["campaign.display_name"]),
        ("tet", "a\x00b", ["campaign.display_name"]),
        ("", "x" * 201, ["campaign.name", "campaign.display_name"]),
    ],
)
def test_bad_fields_are_named(name: str, display_name: str, fields: list[str]) -> None:
    assert violations(name, display_name) == fields


def test_a_campaign_never_comes_back_from_its_end_nor_to_draft() -> None:
    states: tuple[State, ...] = get_args(State)
    ways = {(state, wanted) for state in states for wanted in states if may_become(state, wanted)}
    assert ways == {
        ("draft", "draft"),
        ("draft", "active"),
        ("draft", "paused"),
        ("draft", "ended"),
        ("active", "active"),
        ("active", "paused"),
        ("active", "ended"),
        ("paused", "active"),
        ("paused", "paused"),
        ("paused", "ended"),
        ("ended", "ended"),
    }
