"""What is decided about the members of a launch, with the checks that events have."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from services.decision.domain.deciding import Case, Verdict, ask, nobody, unknown
from services.decision.domain.rule import condition_of
from services.decision.domain.rule_set import AskedRule, Segment, compiled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from services.decision.domain.campaign import State
    from services.decision.domain.deciding import Person
    from services.decision.domain.rule import Rule

# "paused" while its campaign is: the row itself says running.
LaunchState = Literal["running", "paused", "succeeded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Whom a launch goes to.

    Attributes:
        segment: as it was when the snapshot was taken.
    """

    snapshot_id: UUID
    member_count: int
    digest: bytes
    segment: Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignLaunch:
    """A launch as stored.

    Attributes:
        expires_at: who is not decided about by then is not acted for.
        ended_at: None while members are left to decide about.
    """

    launch_id: UUID
    campaign_id: UUID
    rule_id: UUID
    rule_version: int
    snapshot_id: UUID
    member_count: int
    state: LaunchState
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A rule that is asked about everybody in a snapshot.

    Attributes:
        launch_id: None of one that is only estimated.
        campaign_state: now; in one that has ended nothing acts any more.
        began_at: when it was launched.
        actor: who launched it.
    """

    launch_id: UUID | None
    rule: Rule
    snapshot: Snapshot
    campaign_state: State
    began_at: datetime
    actor: str
    _asked: AskedRule = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        asked = AskedRule(
            rule=self.rule,
            condition=compiled(condition_of(self.rule.terms), "launch"),
            segment=self.snapshot.segment,
            # Who is in it was asked when the snapshot was taken.
            membership=None,
        )
        # The way of dataclasses to set what follows from the other fields of a frozen one.
        object.__setattr__(self, "_asked", asked)

    def may_act_at(self, time: datetime) -> bool:
        """Whether anybody may still be acted for."""
        expires_at = self.began_at + self.rule.terms.time_to_live
        return self.campaign_state != "ended" and time < expires_at

    def decide(self, member: Member, *, time_zone: str, now: datetime) -> Verdict:
        """What becomes of one member: consent, address and all else count as they are now.

        Source: docs/reference/launches.md
        """
        person = member.person
        basis = self.inputs(member, now)
        if not person.may_be_reached:
            return self._about(nobody(person, basis))
        if self.campaign_state == "ended":
            reason = "the campaign ended before it was this person's turn"
            return self._about(Verdict(outcome="expired", reason=reason, inputs=basis))
        case = Case(
            trigger="launch",
            began_at=self.began_at,
            person=person,
            time_zone=time_zone,
            now=now,
            values={"profile": person.row, "consent": person.consents, "now": now},
            basis=basis,
        )
        answer = ask(self._asked, case)
        if isinstance(answer, Verdict):
            return self._about(answer)
        condition, problems = answer
        return self._about(
            Verdict(
                outcome="no_rule",
                reason=f"the rule's condition is not met{unknown(problems)}",
                inputs=basis | {"condition": condition.inputs(case.values)},
            )
        )

    def give_up(self, member: Member, *, time_zone: str, now: datetime) -> Verdict:  # noqa: ARG002 - as decide
        """That deciding about a member failed again and again."""
        return self._about(
            Verdict(
                outcome="error",
                reason="deciding failed again and again; the log says how",
                inputs=self.inputs(member, now),
            )
        )

    def inputs(self, member: Member, now: datetime) -> dict[str, Any]:
        """What every verdict depended on."""
        return {
            "launch_id": str(self.launch_id) if self.launch_id else None,
            "launch_time": self.began_at.isoformat(),
            "snapshot_id": str(self.snapshot.snapshot_id),
            "member_version": member.version,
            "now": now.isoformat(),
        }

    def _about(self, verdict: Verdict) -> Verdict:
        """The verdict with the rule and segment of the launch, which are asked in any case."""
        return replace(verdict, rule=self.rule, segment=self.snapshot.segment)


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a launch's snapshot.

    Attributes:
        version: of the profile, in the snapshot; the person's own is now's.
    """

    version: int
    person: Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a launch would come to now.

    Attributes:
        asked_count: members that were asked: all, or evenly spread ones of a large snapshot.
        outcomes: how many of them, by outcome.
        channels: of those that would be acted for, by the channel of their first choice.
    """

    member_count: int
    asked_count: int
    outcomes: Mapping[str, int]
    channels: Mapping[str, int]


class Tally:
    """Counts verdicts for an estimate."""

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._channels: Counter[str] = Counter()

    def add(self, verdict: Verdict) -> None:
        """Count one."""
        self._outcomes[verdict.outcome] += 1
        if verdict.choices:
            self._channels[verdict.choices[0]["channel"]] += 1

    def estimate(self, member_count: int) -> Estimate:
        """What was counted."""
        return Estimate(
            member_count=member_count,
            asked_count=self._outcomes.total(),
            outcomes=dict(self._outcomes),
            channels=dict(self._channels),
        )
