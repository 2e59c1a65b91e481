"""Rules, people and events of a small world, good unless a test says otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from services.decision.domain.deciding import Event, Person, Verdict, decide
from services.decision.domain.rule import Choice, Rule, RuleTerms
from services.decision.domain.rule_set import RuleSet, Segment

# A Wednesday noon in Hà Nội.
NOW = datetime(2026, 11, 25, 5, 0, tzinfo=UTC)
ZONE = "Asia/Ho_Chi_Minh"
CAMPAIGN_ID = UUID(int=1)
ZALO = Choice("zalo-template", UUID(int=11), UUID(int=12))
EMAIL = Choice("email", UUID(int=21), UUID(int=22))
SEGMENT = Segment(UUID(int=31), 4, 'profile.city == "Huế"')


def terms(**changes: Any) -> RuleTerms:
    """What a rule about purchases says, without any condition."""
    values: dict[str, Any] = {
        "name": "thanks",
        "event_type": "purchase",
        "condition": "",
        "segment_id": None,
        "cooldown": None,
        "priority": 0,
        "purpose": "care",
        "quiet_hours": None,
        "hold_out_percent": 0,
        "choices": (ZALO,),
        "time_to_live": timedelta(hours=24),
        "valid_from": None,
        "valid_until": None,
    }
    return RuleTerms(**(values | changes))


def rule(number: int = 100, **changes: Any) -> Rule:
    """A rule in version 3."""
    return Rule(
        rule_id=UUID(int=number),
        campaign_id=CAMPAIGN_ID,
        version=3,
        terms=terms(**changes),
        updated_at=NOW,
    )


def rules(*asked: Rule, time_zone: str = ZONE) -> RuleSet:
    return RuleSet(7, asked, {SEGMENT.segment_id: SEGMENT}, time_zone)


def person(number: int = 1000, **changes: Any) -> Person:
    """Somebody in Huế with two phones and an email address, who agreed to care by both ways."""
    consents = changes.pop("consents", {"zalo-template": {"care": "granted"}})
    last_acted = changes.pop("last_acted", {})
    row = {
        "state": "active",
        "context": "production",
        "given_name": "Ngọc",
        "city": "Huế",
        "phones": ["+84901234567", "+84907654321"],
        "emails": ["ngoc@example.vn"],
        "lifetime_value_vnd": 5_000_000,
        "churn_score": None,
        "attributes": {"tier": "gold"},
    } | changes
    return Person(
        profile_id=UUID(int=number),
        profile_no=number,
        version=5,
        row=row,
        consents=consents,
        last_acted=last_acted,
    )


def event(**changes: Any) -> Event:
    """A purchase a minute ago."""
    values: dict[str, Any] = {
        "event_id": UUID(int=500),
        "event_type": "purchase",
        "source": "shop",
        "occurred_at": NOW - timedelta(minutes=1),
        "profile_ext_id": "ngoc",
        "properties": {"amount": 700_000},
    }
    return Event(**(values | changes))


def verdict_of(terms: dict[str, Any] | None = None, **of_person: Any) -> Verdict:
    """What one rule says of the usual event."""
    (verdict,) = decide(event(), person(**of_person), rules(rule(**(terms or {}))), NOW)
    return verdict
