"""The values that a condition is evaluated on: where they lie, and what the engine takes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from libs.conditions.fields import CONSENT, Type
from libs.conditions.limits import VALUE_COUNT_MAX, VALUE_LENGTH_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from libs.conditions.tree import Input

# {"profile": {…}, "consent": {channel: {purpose: state}}, "now": …} and for a rule "event".
Values: TypeAlias = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INT_MAX: Final = 2**63 - 1
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NO_CONSENT: Final = "none"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a condition could not be told.

    Attributes:
        field: the field as one writes it in a condition.
        why: what is wrong with its value, such as "is missing"; never the value.
    """

    field: str
    why: str

    def __str__(self) -> str:
        return f"{self.field} {self.why}"


def variable_of(item: Input, values: Values) -> object:
    """What the engine gets for an input, or the Problem that there is nothing to give."""
    found = _look_up(values, item.path)
    if item.question == "presence":
        return found is not None
    if item.question == "consent":
        return found == "granted" if CONSENT in values else Problem(CONSENT, "is missing")
    if found is None:
        return Problem(item.field, "is missing")
    variable = _READERS[item.type](found)
    if variable is None:
        return Problem(item.field, f"is {_kind_of(found)}, not {item.type.value}")
    return variable


def plain_values(inputs: Iterable[Input], values: Values) -> Values:
    """The part of the values that the inputs read, as plain JSON of the same shape."""
    plain: Values = {}
    # The shorter path first: what is taken whole has all that lies below.
    for item in sorted(inputs, key=lambda each: each.path):
        found = _look_up(values, item.path)
        if item.question == "consent" and CONSENT in values:
            found = found or _NO_CONSENT
        if found is not None:
            _put(plain, item.path, _json_value(found))
    return plain


def _look_up(values: Values, path: tuple[str, ...]) -> Any:
    found: Any = values
    for key in path:
        if not isinstance(found, dict):
            return None
        found = found.get(key)
    return found


def _put(plain: Values, path: tuple[str, ...], value: object) -> None:
    holder = plain
    for key in path[:-1]:
        holder = holder.setdefault(key, {})
    holder.setdefault(path[-1], value)


def _json_value(value: object) -> object:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value


def _bool(value: object) -> object:
    return value if isinstance(value, bool) else None


def _int(value: object) -> object:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -_INT_MAX - 1 <= value <= _INT_MAX else None


def _number(value: object) -> object:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _text(value: object) -> object:
    if not isinstance(value, str) or len(value) > VALUE_LENGTH_MAX:
        return None
    return value if _is_storable(value) else None


def _is_storable(text: str) -> bool:
    # PostgreSQL stores neither; the engine would cut the text at NUL and fail at the other.
    return "\0" not in text and (text.isascii() or _SURROGATE.search(text) is None)


# Lists are looked at as a whole: item by item, 500 of them would take longer than the engine does.
def _texts(value: object) -> object:
    if not isinstance(value, list) or len(value) > VALUE_COUNT_MAX:
        return None
    if not set(map(type, value)) <= {str} or max(map(len, value), default=0) > VALUE_LENGTH_MAX:
        return None
    return value if _is_storable("".join(value)) else None


def _numbers(value: object) -> object:
    if not isinstance(value, list) or len(value) > VALUE_COUNT_MAX:
        return None
    if not set(map(type, value)) <= {int, float}:
        return None
    try:
        numbers = list(map(float, value))
    except OverflowError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _time(value: object) -> object:
    if isinstance(value, str):
        value = _parsed_time(value)
    if not isinstance(value, datetime) or value.tzinfo is None:
        return None
    since = value - _EPOCH
    return Timestamp(seconds=since.days * 86400 + since.seconds, nanos=since.microseconds * 1000)


def _parsed_time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


# bool before int, of which it is one.
_KINDS: Final = (
    (bool, Type.BOOL.value),
    (str, Type.TEXT.value),
    ((int, float), Type.NUMBER.value),
    (list, "a list"),
    (dict, "an object"),
    (datetime, "a time without zone"),
)
_READERS: Final[dict[Type, Callable[[object], object]]] = {
    Type.BOOL: _bool,
    Type.INT: _int,
    Type.NUMBER: _number,
    Type.TEXT: _text,
    Type.TIME: _time,
    Type.TEXTS: _texts,
    Type.NUMBERS: _numbers,
}


def _kind_of(value: object) -> str:
    if isinstance(value, str) and len(value) > VALUE_LENGTH_MAX:
        return f"text of more than {VALUE_LENGTH_MAX} characters"
    if isinstance(value, list) and len(value) > VALUE_COUNT_MAX:
        return f"a list of more than {VALUE_COUNT_MAX} items"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "something else")
