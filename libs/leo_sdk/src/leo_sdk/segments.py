"""The RPCs of SegmentService."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from leo.segment.v1.segment_service_pb2 import (
    CreateSegmentRequest,
    CreateSnapshotRequest,
    GetSegmentRequest,
    GetSnapshotRequest,
    ListSegmentsRequest,
    ListSegmentsResponse,
    ListSnapshotMembersRequest,
    ListSnapshotMembersResponse,
    Segment,
    Snapshot,
)
from leo.segment.v1.segment_service_pb2_grpc import SegmentServiceStub

if TYPE_CHECKING:
    from datetime import timedelta

    import grpc

    from leo_sdk.calls import Calls


class SegmentClient:
    """Named audiences, and snapshots of who was in one: `LeoClient.segments`."""

    def __init__(self, channel: grpc.aio.Channel, calls: Calls) -> None:
        self._calls = calls
        self._stub = SegmentServiceStub(channel)

    async def create_segment(
        self,
        segment: Segment,
        *,
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> Segment:
        """Check and store a condition over profiles; the segment as stored.

        Args:
            request_id: UUID4. Give one if you may repeat the call yourself: a repeat returns the
                first answer. The client's own tries share one in any case.

        Raises:
            InvalidError: FIELD_INVALID; CONDITION_INVALID, `metadata` has line and column; or
                REQUEST_ID_REUSED with another body.
            ExistsError: SEGMENT_EXISTS, the name is taken.
        """
        request = CreateSegmentRequest(segment=segment, request_id=request_id or str(uuid4()))
        response = await self._calls.unary(self._stub.CreateSegment, request, timeout)
        return response.segment

    async def get_segment(self, segment_id: str, *, timeout: timedelta | None = None) -> Segment:
        """One segment.

        Raises:
            MissingError: SEGMENT_MISSING.
        """
        request = GetSegmentRequest(segment_id=segment_id)
        response = await self._calls.unary(self._stub.GetSegment, request, timeout)
        return response.segment

    async def list_segments(
        self, *, page_size: int = 0, page_token: str = "", timeout: timedelta | None = None
    ) -> ListSegmentsResponse:
        """A page of the tenant's segments, in the order of their names.

        Args:
            page_size: at most so many; 50 if 0.
            page_token: `next_page_token` of the page before.
        """
        request = ListSegmentsRequest(page_size=page_size, page_token=page_token)
        return await self._calls.unary(self._stub.ListSegments, request, timeout)

    async def create_snapshot(
        self,
        segment_id: str,
        *,
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> Snapshot:
        """Freeze who is in a segment now; the snapshot as stored.

        Args:
            request_id: as in create_segment.
            timeout: half a minute for a million profiles of the tenant; give more where the
                machine is busy.

        Raises:
            InvalidError: FIELD_INVALID, or REQUEST_ID_REUSED with another body.
            MissingError: SEGMENT_MISSING.
            StateError: SNAPSHOT_TOO_LARGE, `metadata` has member_count_max.
        """
        request = CreateSnapshotRequest(
            segment_id=segment_id, request_id=request_id or str(uuid4())
        )
        response = await self._calls.unary(self._stub.CreateSnapshot, request, timeout)
        return response.snapshot

    async def get_snapshot(self, snapshot_id: str, *, timeout: timedelta | None = None) -> Snapshot:
        """One snapshot, without its members.

        Raises:
            MissingError: SNAPSHOT_MISSING.
        """
        request = GetSnapshotRequest(snapshot_id=snapshot_id)
        response = await self._calls.unary(self._stub.GetSnapshot, request, timeout)
        return response.snapshot

    async def list_snapshot_members(
        self,
        snapshot_id: str,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: timedelta | None = None,
    ) -> ListSnapshotMembersResponse:
        """A page of a snapshot's members, always in the same order.

        Args:
            page_size: at most so many; 50 if 0.
            page_token: `next_page_token` of the page before.

        Raises:
            MissingError: SNAPSHOT_MISSING.
        """
        request = ListSnapshotMembersRequest(
            snapshot_id=snapshot_id, page_size=page_size, page_token=page_token
        )
        return await self._calls.unary(self._stub.ListSnapshotMembers, request, timeout)
