"""The text of a condition, and where in it an expression stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.conditions import engine
from libs.conditions.errors import ConditionError

if TYPE_CHECKING:
    from libs.conditions.engine import Expression


class Source:
    """A parsed text.

    Attributes:
        syntax: its expression.
    """

    def __init__(self, text: str) -> None:
        self.syntax, self._offsets = engine.parse(text)
        self._text = text

    def error(self, expression: Expression, message: str, expected: str = "") -> ConditionError:
        """The error that stands where an expression starts."""
        offset = self._start(expression)
        before = self._text[:offset]
        return ConditionError(
            message,
            line=before.count("\n") + 1,
            column=offset - before.rfind("\n"),
            expected=expected,
        )

    def _start(self, expression: Expression) -> int:
        # The parser has a path at its last dot and a call at its bracket; people look at the start.
        offset = self._offsets[expression.id]
        match expression.WhichOneof("kind"):
            case "select_expr" if expression.select_expr.test_only:
                return self._start_of_word("has", offset)
            case "select_expr":
                return self._start(expression.select_expr.operand)
            case "call_expr":
                call = expression.call_expr
                if call.HasField("target"):
                    return self._start(call.target)
                if call.function == "_[_]":
                    return self._start(call.args[0])
                return self._start_of_word(call.function, offset)
        return offset

    def _start_of_word(self, word: str, end: int) -> int:
        return end - len(word) if self._text[:end].endswith(word) else end
