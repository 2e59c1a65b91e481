"""Why a text is no condition. Nothing here knows gRPC; a service maps it to an error of its own."""

from __future__ import annotations


class ConditionError(Exception):
    """The text is not a condition that can be saved.

    Attributes:
        message: what is wrong and what to do, for the person who wrote it.
        line, column: where, both from 1; a column is a character, not a byte.
        expected: what could stand there, such as the nearest known field; "" if nothing fits.
    """

    def __init__(self, message: str, *, line: int, column: int, expected: str = "") -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.message = message
        self.line = line
        self.column = column
        self.expected = expected
