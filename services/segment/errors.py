"""Every error that segment raises by itself; the reasons are registered in error_reason.proto."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from libs.rpc.errors import ExistsError, MissingError, StateError
from libs.rpc.refusals import ConditionRefusedError, FieldsError, RequestReuseError

if TYPE_CHECKING:
    from uuid import UUID

_DOMAIN = "segment.leo"
_RESOURCE_TYPE = "leo.segment.v1.Segment"


class FieldInvalidError(FieldsError):
    """Fields of the request are missing, malformed or out of range."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "FIELD_INVALID"


class ConditionInvalidError(ConditionRefusedError):
    """The condition does not compile."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "CONDITION_INVALID"
    field: ClassVar[str] = "segment.condition"


class RequestIdReusedError(RequestReuseError):
    """The request_id was used before with another body."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "REQUEST_ID_REUSED"


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


class SnapshotMissingError(MissingError):
    """The tenant has no such snapshot."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "SNAPSHOT_MISSING"

    def __init__(self, snapshot_id: UUID) -> None:
        super().__init__(
            f"the tenant has no snapshot {snapshot_id}",
            resource_type="leo.segment.v1.Snapshot",
            resource_name=str(snapshot_id),
            metadata={"snapshot_id": str(snapshot_id)},
        )


class SnapshotTooLargeError(StateError):
    """More people are in the segment than a snapshot may have."""

    domain: ClassVar[str] = _DOMAIN
    reason: ClassVar[str] = "SNAPSHOT_TOO_LARGE"

    def __init__(self, segment_id: UUID, member_count_max: int) -> None:
        super().__init__(
            f"more than {member_count_max} people are in the segment, and a snapshot has at most "
            "so many; narrow its condition, or raise LEO_SEGMENT_SNAPSHOT_MEMBER_COUNT_MAX",
            subject=f"segment/{segment_id}",
            metadata={"segment_id": str(segment_id), "member_count_max": str(member_count_max)},
        )
