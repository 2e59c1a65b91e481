"""What decides in a tenant: active rules and their segments, compiled and ready to be asked."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libs.conditions import Condition, ConditionError, compile_condition
from services.decision.domain.rule import condition_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from libs.conditions import Scope
    from services.decision.domain.rule import Rule


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment's condition in one version."""

    segment_id: UUID
    version: int
    condition: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A condition that was one when it was stored, and does not compile here.

    Attributes:
        line, column: where, both from 1.
    """

    line: int
    column: int

    def __str__(self) -> str:
        return f"does not compile any more (line {self.line}, column {self.column})"


@dataclass(frozen=True, slots=True)
class AskedRule:
    """A rule as events and launches ask it.

    Attributes:
        condition: the rule's own.
        segment, membership: the rule's segment and its condition; None if it has none.
    """

    rule: Rule
    condition: Condition | Broken
    segment: Segment | None
    membership: Condition | Broken | None


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Everything that decides in one tenant. Making one compiles all its conditions.

    Attributes:
        version: grows with each change of campaigns and rules.
        rules: those of active campaigns, by priority (the highest first), then name.
        segments: those that the rules name.
        time_zone: in which quiet hours are meant.
    """

    version: int
    rules: tuple[Rule, ...]
    segments: Mapping[UUID, Segment]
    time_zone: str
    _by_event_type: Mapping[str, Sequence[AskedRule]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_event_type = defaultdict(list)
        for rule in self.rules:
            if rule.terms.trigger != "event":
                continue
            segment_id = rule.terms.segment_id
            segment = self.segments[segment_id] if segment_id else None
            by_event_type[rule.terms.event_type].append(
                AskedRule(
                    rule=rule,
                    condition=compiled(condition_of(rule.terms), "rule"),
                    segment=segment,
                    membership=compiled(segment.condition, "segment") if segment else None,
                )
            )
        # The way of dataclasses to set what follows from the other fields of a frozen one.
        object.__setattr__(self, "_by_event_type", dict(by_event_type))

    def about(self, event_type: str) -> Sequence[AskedRule]:
        """The rules about events of a type, in their order."""
        return self._by_event_type.get(event_type, ())

    def broken(self) -> Iterator[tuple[Rule, str]]:
        """The rules that cannot be asked and why, in no order; for the log."""
        for about in self._by_event_type.values():
            for asked in about:
                if isinstance(asked.condition, Broken):
                    yield asked.rule, f"its condition {asked.condition}"
                if isinstance(asked.membership, Broken):
                    yield asked.rule, f"the condition of its segment {asked.membership}"


def compiled(text: str, scope: Scope) -> Condition | Broken:
    """A condition that was checked when it was stored, ready to be asked if it still can be."""
    try:
        return compile_condition(text, scope)
    except ConditionError as error:
        return Broken(error.line, error.column)
