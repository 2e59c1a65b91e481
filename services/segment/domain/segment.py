"""A segment: a named audience, as a condition over profiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libs.conditions import ConditionError, compile_condition
from libs.fields import unstorable
from services.segment.errors import ConditionInvalidError

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from libs.fields import Fields

DISPLAY_NAME_LENGTH_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSegment:
    """What a segment is to be."""

    name: str
    display_name: str
    condition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A segment as stored."""

    segment_id: UUID
    name: str
    display_name: str
    condition: str
    version: int
    created_at: datetime


def check_segment(found: Fields, segment: NewSegment) -> None:
    """Note in `found` everything that is wrong with a new segment but what its condition means."""
    found.name("name", segment.name)
    found.text("display_name", segment.display_name, length_max=DISPLAY_NAME_LENGTH_MAX)
    if not segment.condition:
        found.refuse("condition", "is required")
    elif problem := unstorable(segment.condition):
        found.refuse("condition", problem)


def check_condition(condition: str) -> None:
    """Compile the condition, which also makes it ready for its first use.

    Raises:
        ConditionInvalidError: it is no condition over profiles.
    """
    try:
        compile_condition(condition, "segment")
    except ConditionError as error:
        raise ConditionInvalidError(
            str(error), line=error.line, column=error.column, expected=error.expected
        ) from error
