"""Checks of single fields, which collect every violation instead of stopping at the first."""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING, Any
from uuid import UUID

from libs.rpc.errors import FieldViolation

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from google.protobuf.timestamp_pb2 import Timestamp

    from libs.rpc.refusals import FieldsError

__all__ = [
    "JSON_DEPTH_MAX",
    "NAME_LENGTH_MAX",
    "NUMBER_MAGNITUDE_MAX",
    "Fields",
    "check_batch_count",
    "id_of",
    "in_words",
    "unstorable",
]

NAME_LENGTH_MAX = 64
JSON_DEPTH_MAX = 8
# JSON numbers are doubles to most readers (RFC 8785 to all): beyond this, integers lose digits.
NUMBER_MAGNITUDE_MAX = 2**53 - 1

_SURROGATE = re.compile("[\ud800-\udfff]")
_NAME = re.compile(rf"[a-z0-9._-]{{1,{NAME_LENGTH_MAX}}}")
_KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Fields:
    """The violations found so far below one place of a request.

    Attributes:
        violations: every bad field, in the order found.
    """

    __slots__ = ("_prefix", "violations")

    def __init__(self, prefix: str = "") -> None:
        self._prefix = f"{prefix}." if prefix else ""
        self.violations: list[FieldViolation] = []

    def refuse(self, field: str, description: str) -> None:
        """Note that `field`, named from this place, is bad, and what to do about it."""
        self.violations.append(FieldViolation(self._prefix + field, description))

    def raise_as(self, error: type[FieldsError]) -> None:
        """Raise the violations, if there are any, as this error of a service."""
        if self.violations:
            raise error(self.violations)

    def text(self, field: str, value: str, *, length_max: int, required: bool = False) -> None:
        """Text that can be stored, of at most `length_max` characters."""
        if not value:
            if required:
                self.refuse(field, "is required")
            return
        if len(value) > length_max:
            self.refuse(field, f"has {len(value)} characters; at most {length_max} are allowed")
        if problem := unstorable(value):
            self.refuse(field, problem)

    def name(self, field: str, value: str) -> None:
        """A required name of a-z, 0-9, '.', '_' and '-'."""
        if not value:
            self.refuse(field, "is required")
        elif not _NAME.fullmatch(value):
            self.refuse(
                field,
                f"must be 1 to {NAME_LENGTH_MAX} characters of a-z, 0-9, '.', '_' and '-'",
            )

    def kebab(self, field: str, value: str) -> None:
        """A required name in kebab-case, such as "zalo-template"."""
        if not value:
            self.refuse(field, "is required")
        elif len(value) > NAME_LENGTH_MAX or not _KEBAB.fullmatch(value):
            self.refuse(field, f"must be kebab-case of at most {NAME_LENGTH_MAX} characters")

    def id(self, field: str, text: str, *, required: bool = False) -> UUID | None:
        """An id; None where there is none or it is bad."""
        if not text and not required:
            return None
        try:
            return UUID(text)
        except ValueError:
            self.refuse(field, "must be a UUID" if text else "is required")
            return None

    def count(self, field: str, count: int, count_max: int) -> None:
        """At most `count_max` items."""
        if count > count_max:
            self.refuse(field, f"has {count} items; at most {count_max} are allowed")

    def timestamp(self, field: str, timestamp: Timestamp) -> datetime | None:
        """A time of the wire; None where it is bad."""
        try:
            return timestamp.ToDatetime(tzinfo=UTC)
        except ValueError:
            self.refuse(field, "is no time between the years 1 and 9999")
            return None

    def time(
        self, field: str, value: datetime, *, now: datetime, ahead: timedelta, age: timedelta | None
    ) -> None:
        """A time at most `ahead` of now and, where `age` is given, at most that far back."""
        if value > now + ahead:
            self.refuse(field, f"lies more than {in_words(ahead)} ahead of the server's clock")
        elif age is not None and value < now - age:
            self.refuse(field, f"lies more than {age.days} days back; is the unit right?")

    def json(self, field: str, value: object, *, depth_max: int = JSON_DEPTH_MAX) -> bool:
        """JSON that can be stored and read by everybody; only the first violation is noted."""
        problem = _json_problem(value, field, depth_max)
        if problem is not None:
            self.refuse(*problem)
        return problem is None


def id_of(error: type[FieldsError], field: str, text: str) -> UUID:
    """The id that a request must name. Raises `error`."""
    found = Fields()
    named = found.id(field, text, required=True)
    if named is None:
        raise error(found.violations)
    return named


def check_batch_count(error: type[FieldsError], field: str, count: int, count_max: int) -> None:
    """A batch of 1 to `count_max` items. Raises `error`."""
    if not 1 <= count <= count_max:
        raise error.of(field, f"has {count} items; 1 to {count_max} are allowed")


def in_words(span: timedelta) -> str:
    """A span of time for people, in whole seconds: "7 days", "1 hour 30 minutes"."""
    minutes, seconds = divmod(round(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    counts = {"day": days, "hour": hours, "minute": minutes, "second": seconds}
    told = [f"{count} {unit}{'s' * (count != 1)}" for unit, count in counts.items() if count]
    return " ".join(told) or "0 seconds"


def unstorable(value: str) -> str | None:
    """What in a text PostgreSQL's text and jsonb cannot hold, or None."""
    if "\x00" in value:
        return "has a NUL character (U+0000); leave it out"
    # Most text is ASCII, which the interpreter knows without looking.
    if not value.isascii() and _SURROGATE.search(value):
        return "has half of a surrogate pair; encode the text as UTF-8"
    return None


def _json_problem(value: Any, path: str, depth_left: int) -> tuple[str, str] | None:  # noqa: PLR0911
    if isinstance(value, str):
        problem = unstorable(value)
        return (path, problem) if problem else None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        # The comparison is false for NaN as well.
        if -NUMBER_MAGNITUDE_MAX <= value <= NUMBER_MAGNITUDE_MAX:
            return None
        return (path, "is a number beyond ±(2^53 - 1), which loses digits; send it as a string")
    if depth_left == 0:
        return (path, "is nested too deep")
    if isinstance(value, dict):
        for key, item in value.items():
            if problem := unstorable(key):
                return (path, f"has a key that {problem}")
            if found := _json_problem(item, f"{path}.{key}", depth_left - 1):
                return found
        return None
    for index, item in enumerate(value):
        if found := _json_problem(item, f"{path}[{index}]", depth_left - 1):
            return found
    return None
