"""What several services refuse alike; each has a subclass that fixes `domain` and `reason`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from libs.rpc.errors import FieldViolation, InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


class FieldsError(InvalidError):
    """Fields of the request are bad; the message tells the first of them."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(
            f"{first.field} {first.description}{more}",
            violations,
            metadata={"field": first.field},
        )

    @classmethod
    def of(cls, field: str, description: str) -> Self:
        """The error of one bad field."""
        return cls([FieldViolation(field, description)])


class RequestReuseError(InvalidError):
    """The request_id was used before with another body."""

    def __init__(self, request_id: UUID) -> None:
        super().__init__(
            "request_id was used before with another body; send a new UUID4 for a new request",
            metadata={"request_id": str(request_id)},
        )


class ConditionRefusedError(InvalidError):
    """The condition does not compile.

    Attributes:
        field: where in the request the condition stands.
    """

    field: ClassVar[str]

    def __init__(self, problem: str, *, line: int, column: int, expected: str) -> None:
        metadata = {"line": str(line), "column": str(column)}
        if expected:
            metadata["expected"] = expected
        super().__init__(
            f"{self.field}, {problem}", [FieldViolation(self.field, problem)], metadata=metadata
        )
