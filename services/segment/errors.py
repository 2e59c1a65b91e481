"""Every error that segment raises by itself; the reasons are registered in error_reason.proto."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from libs.rpc.errors import ExistsError, FieldViolation, InvalidError, MissingError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

_DOMAIN = "segment.leo"
_RESOURCE_TYPE = "leo.segment.v1.Segment"


class FieldInvalidError(InvalidError):
    """Fields of the request are missing, malformed or out of range."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "FIELD_INVALID"

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(
            f"{first.field} {first.description}{more}",
            violations,
            metadata={"field": first.field},
        )


class ConditionInvalidError(InvalidError):
    """The condition does not compile."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "CONDITION_INVALID"

    def __init__(self, problem: str, *, line: int, column: int, expected: str) -> None:
        metadata = {"line": str(line), "column": str(column)}
        if expected:
            metadata["expected"] = expected
        super().__init__(
            f"segment.condition, {problem}",
            [FieldViolation("segment.condition", problem)],
            metadata=metadata,
        )


class RequestIdReusedError(InvalidError):
    """The request_id was used before with another body."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "REQUEST_ID_REUSED"

    def __init__(self, request_id: UUID) -> None:
        super().__init__(
            "request_id was used before with another body; send a new UUID4 for a new request",
            metadata={"request_id": str(request_id)},
        )


class SegmentExistsError(ExistsError):
    """The name is taken."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "SEGMENT_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(
            f'the tenant has a segment named "{name}"',
            resource_type=_RESOURCE_TYPE,
            resource_name=name,
            metadata={"name": name},
        )


class SegmentMissingError(MissingError):
    """The tenant has no such segment."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "SEGMENT_MISSING"

    def __init__(self, segment_id: UUID) -> None:
        super().__init__(
            f"the tenant has no segment {segment_id}",
            resource_type=_RESOURCE_TYPE,
            resource_name=str(segment_id),
            metadata={"segment_id": str(segment_id)},
        )
