"""Texts of templates, as far as a rule must know them: whether they say something of an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import Environment

if TYPE_CHECKING:
    from collections.abc import Mapping

# As dispatch reads templates, which it checked when they were stored. Only the lexer is used here:
# it tells the column, which the parsed tree does not.
_ENVIRONMENT = Environment(autoescape=False)  # noqa: S701 - nothing is rendered


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text reads an event: the text's name, line and column from 1."""

    name: str
    line: int
    column: int


def find_event(texts: Mapping[str, str]) -> Place | None:
    """The first place at which a template's texts read a field of an event; None if none does."""
    for name, written in texts.items():
        # As the lexer has it; and it leaves out what "-" in a delimiter takes away.
        text = written.replace("\r\n", "\n").replace("\r", "\n")
        offset = 0
        before = ""
        for _, kind, value in _ENVIRONMENT.lex(text):
            offset = text.index(value, offset)
            if kind == "name" and value == "event" and before != ".":
                line = text.count("\n", 0, offset) + 1
                return Place(name, line, offset - text.rfind("\n", 0, offset))
            if kind != "whitespace":
                before = value
            offset += len(value)
    return None
