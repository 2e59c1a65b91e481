"""A checked condition as a small typed tree.

This is the stated subset of CEL: whatever else the parser understands, a condition is made of these
four nodes, every node has a type, and every value that comes from outside is an Input. What runs a
condition is made from the tree and never from the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from libs.conditions.fields import Type

Question = Literal["value", "presence", "consent"]

CALENDAR_FUNCTIONS: Final = frozenset(
    {"getFullYear", "getMonth", "getDate", "getDayOfWeek", "getHours", "getMinutes"}
)
TEXT_FUNCTIONS: Final = frozenset({"startsWith", "endsWith", "contains"})
# These are called on their first argument, as in profile.city.contains("Nội").
MEMBER_FUNCTIONS: Final = CALENDAR_FUNCTIONS | TEXT_FUNCTIONS

_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that a condition wants to know of the world outside.

    Attributes:
        path: where it lies, such as ("profile", "attributes", "tier").
        type: the type that it must have; a value of another type is unknown.
        question: the value itself; whether there is one; whether the consent is granted.
    """

    path: tuple[str, ...]
    type: Type
    question: Question = "value"

    @property
    def field(self) -> str:
        """The path as one writes it in a condition."""
        head, *keys = self.path
        for key in keys:
            head += f".{key}" if _PLAIN_KEY.fullmatch(key) else f'["{key}"]'
        return head


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that stands in the text."""

    value: bool | float | str | datetime | timedelta
    type: Type


@dataclass(frozen=True, slots=True)
class Constants:
    """A list of values of one type that stands in the text."""

    items: tuple[Constant, ...]
    type: Type


@dataclass(frozen=True, slots=True)
class Read:
    """The place of an input."""

    input: Input

    @property
    def type(self) -> Type:
        return self.input.type


@dataclass(frozen=True, slots=True)
class Call:
    """An operator or function by CEL's name for it, such as "_&&_" or "startsWith"."""

    function: str
    arguments: tuple[Node, ...]
    type: Type


Node: TypeAlias = Constant | Constants | Read | Call
