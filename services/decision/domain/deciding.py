"""What is decided about one event, and how a rule is asked: pure functions of one moment."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from libs.addressing import recipient_refs
from libs.fields import in_words
from libs.quiet_hours import quiet_until
from services.decision.domain.rule_set import Broken

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from libs.conditions import Condition, Problem
    from services.decision.domain.rule import Rule, Trigger
    from services.decision.domain.rule_set import AskedRule, RuleSet, Segment

Outcome = Literal[
    "acted",
    "no_rule",
    "no_profile",
    "not_in_segment",
    "cooldown",
    "no_consent",
    "hold_out",
    "no_address",
    "expired",
    "error",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An ingested event."""

    event_id: UUID
    event_type: str
    source: str
    occurred_at: datetime
    profile_ext_id: str
    properties: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A profile as it is now.

    Attributes:
        row: the columns of cdp_profiles by name, `attributes` read from its JSON.
        consents: what is recorded, by channel and purpose.
        last_acted: when each rule last acted for them; whoever decides a batch keeps it true, by
            `note`.
    """

    profile_id: UUID
    profile_no: int
    version: int
    row: Mapping[str, Any]
    consents: Mapping[str, Mapping[str, str]]
    last_acted: dict[UUID, datetime] = field(default_factory=dict)

    @property
    def may_be_reached(self) -> bool:
        """Whether they are alive and real."""
        return bool(self.row["state"] == "active" and self.row["context"] == "production")

    def note(self, verdicts: Iterable[Verdict], now: datetime) -> None:
        """Remember which rules have just acted: cooldowns of the next event begin with them."""
        for verdict in verdicts:
            if verdict.outcome == "acted" and verdict.rule is not None:
                self.last_acted[verdict.rule.rule_id] = now


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One decision, before it has an id.

    Attributes:
        rule, segment: those that were asked; None where no rule was met.
        choices: of an acting one, the ways that are possible, in order.
        inputs: every value that it depended on, as JSON.
    """

    outcome: Outcome
    reason: str
    rule: Rule | None = None
    segment: Segment | None = None
    not_before: datetime | None = None
    expires_at: datetime | None = None
    choices: tuple[dict[str, Any], ...] = ()
    inputs: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a rule is asked about.

    Attributes:
        trigger, began_at: what set the rule off, and when: an event's time, or a launch's.
        time_zone: in which quiet hours are meant.
        values: what conditions read.
        basis: the inputs that every verdict has.
    """

    trigger: Trigger
    began_at: datetime
    person: Person
    time_zone: str
    now: datetime
    values: dict[str, Any]
    basis: dict[str, Any]


def decide(event: Event, person: Person | None, rules: RuleSet, now: datetime) -> list[Verdict]:
    """Ask every rule about an event; in the order of the rules, never empty.

    A rule whose trigger, validity and condition hold gives one verdict, and so does one that cannot
    be asked. If none does, there is one verdict that says so; if there is nobody to reach, one that
    says that.

    Source: docs/reference/deciding.md
    """
    basis = {
        "event_id": str(event.event_id),
        "event_time": event.occurred_at.isoformat(),
        "now": now.isoformat(),
    }
    if person is None or not person.may_be_reached:
        return [nobody(person, basis)]
    values = {
        "event": {
            "type": event.event_type,
            "source": event.source,
            "time": event.occurred_at,
            "properties": event.properties,
        },
        "profile": person.row,
        "consent": person.consents,
        "now": now,
    }
    case = Case(
        trigger="event",
        began_at=event.occurred_at,
        person=person,
        time_zone=rules.time_zone,
        now=now,
        values=values,
        basis=basis,
    )
    verdicts: list[Verdict] = []
    unmet: list[tuple[Condition, Sequence[Problem]]] = []
    about = rules.about(event.event_type)
    for asked in about:
        if not asked.rule.terms.is_valid_at(event.occurred_at):
            continue
        answer = ask(asked, case)
        if isinstance(answer, Verdict):
            verdicts.append(answer)
        else:
            unmet.append(answer)
    return verdicts or [_no_rule(event, len(about), case, unmet)]


def ask(asked: AskedRule, case: Case) -> Verdict | tuple[Condition, Sequence[Problem]]:
    """The verdict of a rule; or, where its condition is not met, that and what was missing."""
    condition = asked.condition
    if isinstance(condition, Broken):
        reason = _cannot_be_asked(asked.rule, f"its condition {condition}")
        return Verdict(outcome="error", reason=reason, rule=asked.rule, inputs=case.basis)
    # A condition that ends unknown is not met.
    answer = condition.evaluate(case.values)
    return _check(asked, condition, case) if answer.met else (condition, answer.problems)


def _no_rule(
    event: Event,
    asked_count: int,
    case: Case,
    unmet: Iterable[tuple[Condition, Sequence[Problem]]],
) -> Verdict:
    """That no rule is met, with everything that their conditions read, and what was missing."""
    read: dict[str, Any] = {}
    problems: dict[str, None] = {}
    for condition, missing in unmet:
        _merge(read, condition.inputs(case.values))
        problems |= dict.fromkeys(map(str, missing))
    reason = f'no active rule is about events of type "{event.event_type}"'
    if asked_count:
        reason = f"none of {asked_count} rules about this type of event is met{unknown(problems)}"
    return Verdict(outcome="no_rule", reason=reason, inputs=case.basis | {"condition": read})


def unknown(problems: Iterable[object]) -> str:
    """The end of a reason: which values were missing or of another type; never the values."""
    told = ", ".join(map(str, problems))
    return f"; unknown, because {told}" if told else ""


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value


def nobody(person: Person | None, basis: dict[str, Any]) -> Verdict:
    """That there is nobody to reach, and why."""
    if person is None:
        reason = "there is no profile with the event's profile_ext_id"
    elif person.row["state"] != "active":
        reason = f"the profile is {person.row['state']}"
    else:
        reason = f"the profile is {person.row['context']} data, which is never sent to"
    return Verdict(outcome="no_profile", reason=reason, inputs=basis)


def _check(asked: AskedRule, condition: Condition, case: Case) -> Verdict:
    """The verdict of a rule whose condition is met: the first check that fails, or to act."""
    rule, terms, person, now = asked.rule, asked.rule.terms, case.person, case.now
    inputs = case.basis | {
        "condition": condition.inputs(case.values),
        "purpose": terms.purpose,
    }

    def verdict(outcome: Outcome, reason: str, **more: Any) -> Verdict:
        return Verdict(
            outcome=outcome, reason=reason, rule=rule, segment=asked.segment, inputs=inputs, **more
        )

    outcome, reason = _look_in_segment(asked, case, inputs)
    if outcome is not None:
        return verdict(outcome, reason)
    if case.began_at + terms.time_to_live <= now:
        worth = in_words(terms.time_to_live)
        return verdict("expired", f"the {case.trigger} is older than the {worth} it is worth")
    inputs["hold_out_bucket"] = bucket = hold_out_bucket(rule.rule_id, person.profile_id)
    if bucket < terms.hold_out_percent:
        return verdict("hold_out", f"held out, as {terms.hold_out_percent} of 100 people are")
    if terms.cooldown is not None:
        last = person.last_acted.get(rule.rule_id)
        inputs["last_acted_at"] = last.isoformat() if last else None
        if last is not None and now - last < terms.cooldown:
            return verdict("cooldown", f"the rule acted within the last {in_words(terms.cooldown)}")
    choices, outcome, reason = _choose(rule, person, inputs)
    if outcome is not None:
        return verdict(outcome, reason)
    not_before = None
    if terms.quiet_hours is not None:
        inputs["time_zone"] = case.time_zone
        not_before = quiet_until(terms.quiet_hours, now, case.time_zone)
    return verdict(
        "acted",
        "waits for quiet hours to end" if not_before else "every check passed",
        not_before=not_before,
        expires_at=(not_before or now) + terms.time_to_live,
        choices=choices,
    )


def _look_in_segment(
    asked: AskedRule, case: Case, inputs: dict[str, Any]
) -> tuple[Outcome | None, str]:
    """Why the rule's segment keeps it from acting; None if it does not, or there is none."""
    membership = asked.membership
    if membership is None:
        return None, ""
    if isinstance(membership, Broken):
        return "error", _cannot_be_asked(asked.rule, f"the condition of its segment {membership}")
    inputs["segment"] = membership.inputs(case.values)
    answer = membership.evaluate(case.values)
    if answer.met:
        return None, ""
    return (
        "not_in_segment",
        f"the person is not in the rule's segment{unknown(answer.problems)}",
    )


def _cannot_be_asked(rule: Rule, why: str) -> str:
    return f'rule "{rule.terms.name}" cannot be asked: {why}'


def _choose(
    rule: Rule, person: Person, inputs: dict[str, Any]
) -> tuple[tuple[dict[str, Any], ...], Outcome | None, str]:
    """The ways that are possible, or why there are none."""
    purpose = rule.terms.purpose
    recorded = {
        choice.channel: person.consents.get(choice.channel, {}).get(purpose, "none recorded")
        for choice in rule.terms.choices
    }
    inputs["consents"] = recorded
    allowed = [
        (place, choice)
        for place, choice in enumerate(rule.terms.choices)
        if recorded[choice.channel] == "granted"
    ]
    if not allowed:
        told = ", ".join(f"{channel}: {state}" for channel, state in recorded.items())
        return (), "no_consent", f'consent to "{purpose}": {told}'
    hours = rule.terms.quiet_hours
    # Asked again before each call: a retry or the next choice may come up in the night.
    quiet = {"quiet_hours": [hours.start, hours.end]} if hours else {}
    possible = tuple(
        quiet
        | {
            "choice": place,
            "channel": choice.channel,
            "purpose": purpose,
            "template_id": str(choice.template_id),
            "account_id": str(choice.account_id),
            "recipient_ref": refs[0],
        }
        for place, choice in allowed
        if (refs := recipient_refs(choice.channel, person.row))
    )
    inputs["recipient_refs"] = [choice["recipient_ref"] for choice in possible]
    if not possible:
        channels = ", ".join(choice.channel for _, choice in allowed)
        return (), "no_address", f"no address for {channels}"
    return possible, None, ""


def hold_out_bucket(rule_id: UUID, profile_id: UUID) -> int:
    """A number from 0 to 99 that is always the same for a rule and person."""
    digest = hashlib.sha256(rule_id.bytes + profile_id.bytes).digest()
    return int.from_bytes(digest[:8], "big") % 100
