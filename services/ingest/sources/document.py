"""Reads a document that anybody may have written: what cannot be used is left out and named."""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from libs.fields import Fields, unstorable
from libs.rpc.errors import FieldViolation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Document:
    """A JSON object of another system, read field by field.

    Absent and null mean the same: nothing. Everything else that does not fit becomes a warning that
    names the field and never repeats the value.

    Attributes:
        warnings: what was left out so far.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self.warnings: list[FieldViolation] = []

    def warn(self, field: str, description: str) -> None:
        """Note that a value of `field` is left out, and why."""
        self.warnings.append(FieldViolation(field, description))

    def text(self, field: str, *, length_max: int) -> str:
        """A text without white space around it, in NFC; "" if there is none that can be used."""
        return self._text(field, self._values.get(field), length_max)

    def texts(self, field: str, *, count_max: int, length_max: int) -> tuple[str, ...]:
        """The different texts of a list, in order."""
        found: dict[str, None] = {}
        for place, value in self._items(field):
            if text := self._text(place, value, length_max):
                found[text] = None
        if len(found) > count_max:
            self.warn(field, f"has more than {count_max} items; the first ones are kept")
        return tuple(found)[:count_max]

    def addresses(
        self,
        fields: Iterable[str],
        normal: Callable[[str], str | None],
        *,
        what: str,
        count_max: int,
    ) -> tuple[str, ...]:
        """The different addresses of several fields (texts or lists of them), in order."""
        found: dict[str, None] = {}
        for field in fields:
            value = self._values.get(field)
            items = self._items(field) if isinstance(value, list) else [(field, value)]
            for place, item in items:
                text = self._text(place, item, length_max=320)
                if not text:
                    continue
                address = normal(text)
                if address is None:
                    self.warn(place, f"is not {what}")
                else:
                    found[address] = None
        if len(found) > count_max:
            self.warn(next(iter(fields)), f"more than {count_max} in all; the first ones are kept")
        return tuple(found)[:count_max]

    def integer(self, field: str) -> int | None:
        """A whole number, or None."""
        number = self.number(field)
        if number is None:
            return None
        if not number.is_integer():
            self.warn(field, "is not a whole number")
            return None
        return int(number)

    def number(self, field: str) -> float | None:
        """A finite number, or None."""
        value = self._values.get(field)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.warn(field, "is not a number")
            return None
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            self.warn(field, "is not a finite number")
            return None
        return number

    def time(self, field: str) -> datetime | None:
        """A time in ISO 8601 with its offset, or None."""
        value = self._values.get(field)
        if value is None or value == "":
            return None
        try:
            time = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            self.warn(field, "is not a time in ISO 8601")
            return None
        if time.tzinfo is None:
            self.warn(field, "has no offset from UTC")
            return None
        return time.astimezone(UTC)

    def mapping(self, field: str) -> dict[str, Any]:
        """An object as it is; {} if there is none."""
        value = self._values.get(field)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.warn(field, "is not an object")
            return {}
        return {key: item for key, item in value.items() if not unstorable(key)}

    def objects(self, field: str) -> list[tuple[str, Document]]:
        """The objects of a list, each with its place; their warnings are their own."""
        found = []
        for place, value in self._items(field):
            if isinstance(value, dict):
                found.append((place, Document(value)))
            else:
                self.warn(place, "is not an object")
        return found

    def storable(self, field: str, value: Any) -> Any:
        """A JSON value if it can be stored as it is, or None."""
        fields = Fields()
        if fields.json(field, value):
            return value
        self.warnings.extend(fields.violations)
        return None

    def _items(self, field: str) -> list[tuple[str, Any]]:
        value = self._values.get(field)
        if value is None:
            return []
        if not isinstance(value, list):
            self.warn(field, "is not a list")
            return []
        return [(f"{field}[{index}]", item) for index, item in enumerate(value)]

    def _text(self, place: str, value: Any, length_max: int) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            self.warn(place, "is not a text")
            return ""
        if problem := unstorable(value):
            self.warn(place, problem)
            return ""
        text = unicodedata.normalize("NFC", value.strip())
        if len(text) > length_max:
            self.warn(place, f"has more than {length_max} characters")
            return ""
        return text
