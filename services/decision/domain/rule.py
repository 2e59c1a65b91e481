"""A rule: when to act, and how."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from libs.addressing import ADDRESS_KINDS
from libs.conditions import ConditionError, compile_condition
from libs.fields import unstorable
from libs.quiet_hours import QuietHours
from services.decision.errors import ConditionInvalidError

if TYPE_CHECKING:
    from libs.conditions import Scope
    from libs.fields import Fields

# What sets a rule off: an event of its type, or a launch of it over a snapshot.
Trigger = Literal["event", "launch"]

CHOICE_COUNT_MAX = 8
PRIORITY_MAX = 1000
COOLDOWN_MAX = timedelta(days=366)
TIME_TO_LIVE_DEFAULT = timedelta(hours=24)
TIME_TO_LIVE_MAX = timedelta(days=30)
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
# A rule without a condition is always met.
_ALWAYS = "true"


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to reach the person."""

    channel: str
    template_id: UUID
    account_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTerms:
    """What a rule says: everything that a version keeps.

    Attributes:
        event_type, segment_id: of a launched rule, empty and None: it has no event, and its people
            are those of the snapshot.
    """

    name: str
    trigger: Trigger = "event"
    event_type: str
    condition: str
    segment_id: UUID | None
    cooldown: timedelta | None
    priority: int
    purpose: str
    quiet_hours: QuietHours | None
    hold_out_percent: int
    choices: tuple[Choice, ...]
    time_to_live: timedelta
    valid_from: datetime | None
    valid_until: datetime | None

    @property
    def scope(self) -> Scope:
        """What the condition may read."""
        return "rule" if self.trigger == "event" else "launch"

    def is_valid_at(self, time: datetime) -> bool:
        """Whether the rule is valid for what begins at a time."""
        return (self.valid_from is None or time >= self.valid_from) and (
            self.valid_until is None or time < self.valid_until
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule as stored, in one version."""

    rule_id: UUID
    campaign_id: UUID
    version: int
    terms: RuleTerms
    updated_at: datetime

    @property
    def etag(self) -> str:
        """Names this version."""
        return f"v{self.version}"


def check_terms(found: Fields, terms: RuleTerms) -> None:
    """Note in `found` everything that is wrong with a rule but what its condition means."""
    found.name("name", terms.name)
    if terms.trigger == "event":
        found.name("event_type", terms.event_type)
    else:
        _check_launched(found, terms)
    if problem := unstorable(terms.condition):
        found.refuse("condition", problem)
    found.kebab("purpose", terms.purpose)
    if not -PRIORITY_MAX <= terms.priority <= PRIORITY_MAX:
        found.refuse("priority", f"must be from -{PRIORITY_MAX} to {PRIORITY_MAX}")
    if not 0 <= terms.hold_out_percent <= 100:  # noqa: PLR2004
        found.refuse("hold_out_percent", "must be from 0 to 100")
    if terms.cooldown is not None and not timedelta(0) < terms.cooldown <= COOLDOWN_MAX:
        found.refuse("cooldown", f"must be more than nothing and at most {COOLDOWN_MAX.days} days")
    if not timedelta(0) < terms.time_to_live <= TIME_TO_LIVE_MAX:
        found.refuse(
            "time_to_live", f"must be more than nothing and at most {TIME_TO_LIVE_MAX.days} days"
        )
    if terms.quiet_hours is not None:
        _check_quiet_hours(found, terms.quiet_hours)
    if terms.valid_from and terms.valid_until and terms.valid_from >= terms.valid_until:
        found.refuse("valid_until_time", "must be after valid_from_time")
    if not 1 <= len(terms.choices) <= CHOICE_COUNT_MAX:
        found.refuse(
            "choices", f"has {len(terms.choices)} items; 1 to {CHOICE_COUNT_MAX} are allowed"
        )
    for index, choice in enumerate(terms.choices):
        if choice.channel not in ADDRESS_KINDS:
            known = ", ".join(sorted(ADDRESS_KINDS))
            found.refuse(f"choices[{index}].channel", f"is not a known channel; known: {known}")


def _check_launched(found: Fields, terms: RuleTerms) -> None:
    if terms.event_type:
        found.refuse("event_type", "must be empty: a launch has no event")
    if terms.segment_id is not None:
        found.refuse("segment_id", "must be empty: a launch goes to the people of a snapshot")


def _check_quiet_hours(found: Fields, quiet_hours: QuietHours) -> None:
    for name, text in (("start", quiet_hours.start), ("end", quiet_hours.end)):
        if not _TIME_OF_DAY.fullmatch(text):
            found.refuse(f"quiet_hours.{name}", 'must be a time of day, such as "22:00"')
    if quiet_hours.start == quiet_hours.end:
        found.refuse("quiet_hours.end", "must differ from start")


def check_condition(condition: str, scope: Scope = "rule") -> None:
    """Compile the condition, which also makes it ready for its first use.

    Raises:
        ConditionInvalidError: it is no condition of a rule, or reads an event in a launched one.
    """
    try:
        compile_condition(condition or _ALWAYS, scope)
    except ConditionError as error:
        raise ConditionInvalidError(
            str(error), line=error.line, column=error.column, expected=error.expected
        ) from error


def condition_problem(terms: RuleTerms) -> str:
    """Why a stored condition cannot be asked any more, and where; empty while it can."""
    try:
        compile_condition(condition_of(terms), terms.scope)
    except ConditionError as error:
        return str(error)
    return ""


def condition_of(terms: RuleTerms) -> str:
    """The condition to evaluate."""
    return terms.condition or _ALWAYS


def document_of(terms: RuleTerms) -> dict[str, Any]:
    """The terms as the JSON that a version stores; spans are whole microseconds."""
    return {
        "name": terms.name,
        "trigger": terms.trigger,
        "event_type": terms.event_type,
        "condition": terms.condition,
        "segment_id": str(terms.segment_id) if terms.segment_id else None,
        "cooldown_us": terms.cooldown // timedelta(microseconds=1) if terms.cooldown else None,
        "priority": terms.priority,
        "purpose": terms.purpose,
        "quiet_hours": (
            [terms.quiet_hours.start, terms.quiet_hours.end] if terms.quiet_hours else None
        ),
        "hold_out_percent": terms.hold_out_percent,
        "choices": [
            {
                "channel": choice.channel,
                "template_id": str(choice.template_id),
                "account_id": str(choice.account_id),
            }
            for choice in terms.choices
        ],
        "time_to_live_us": terms.time_to_live // timedelta(microseconds=1),
        "valid_from": terms.valid_from.isoformat() if terms.valid_from else None,
        "valid_until": terms.valid_until.isoformat() if terms.valid_until else None,
    }


def terms_of(document: dict[str, Any]) -> RuleTerms:
    """The terms that a version stored."""
    cooldown_us = document["cooldown_us"]
    quiet_hours = document["quiet_hours"]
    valid_from, valid_until = document["valid_from"], document["valid_until"]
    return RuleTerms(
        name=document["name"],
        # Versions from before there were launches do not say it.
        trigger=document.get("trigger", "event"),
        event_type=document["event_type"],
        condition=document["condition"],
        segment_id=UUID(document["segment_id"]) if document["segment_id"] else None,
        cooldown=timedelta(microseconds=cooldown_us) if cooldown_us else None,
        priority=document["priority"],
        purpose=document["purpose"],
        quiet_hours=QuietHours(*quiet_hours) if quiet_hours else None,
        hold_out_percent=document["hold_out_percent"],
        choices=tuple(
            Choice(choice["channel"], UUID(choice["template_id"]), UUID(choice["account_id"]))
            for choice in document["choices"]
        ),
        time_to_live=timedelta(microseconds=document["time_to_live_us"]),
        valid_from=datetime.fromisoformat(valid_from) if valid_from else None,
        valid_until=datetime.fromisoformat(valid_until) if valid_until else None,
    )
