"""SegmentService as a client of one tenant calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import grpc

from leo.segment.v1 import segment_service_pb2 as pb
from leo_sdk.errors import error_of_call

if TYPE_CHECKING:
    from leo.segment.v1.segment_service_pb2_grpc import SegmentServiceStub


class Client:
    """Raises the SDK's errors."""

    def __init__(self, stub: SegmentServiceStub, token: str) -> None:
        self._stub = stub
        self._metadata = (("authorization", f"Bearer {token}"),)

    async def create_segment(self, request_id: str = "", **segment: Any) -> pb.Segment:
        request = pb.CreateSegmentRequest(segment=pb.Segment(**segment), request_id=request_id)
        response: pb.CreateSegmentResponse = await self._call(self._stub.CreateSegment, request)
        return response.segment

    async def get_segment(self, segment_id: str) -> pb.Segment:
        request = pb.GetSegmentRequest(segment_id=segment_id)
        response: pb.GetSegmentResponse = await self._call(self._stub.GetSegment, request)
        return response.segment

    async def list_segments(self, **request: Any) -> pb.ListSegmentsResponse:
        response: pb.ListSegmentsResponse = await self._call(
            self._stub.ListSegments, pb.ListSegmentsRequest(**request)
        )
        return response

    async def create_snapshot(
        self, segment_id: str, request_id: str = "", *, timeout: float = 60
    ) -> pb.Snapshot:
        request = pb.CreateSnapshotRequest(segment_id=segment_id, request_id=request_id)
        response: pb.CreateSnapshotResponse = await self._call(
            self._stub.CreateSnapshot, request, timeout=timeout
        )
        return response.snapshot

    async def snapshot_of(self, condition: str) -> pb.Snapshot:
        """A snapshot of a new segment."""
        segment = await self.create_segment(name=uuid4().hex, condition=condition)
        return await self.create_snapshot(segment.segment_id)

    async def get_snapshot(self, snapshot_id: str) -> pb.Snapshot:
        request = pb.GetSnapshotRequest(snapshot_id=snapshot_id)
        response: pb.GetSnapshotResponse = await self._call(self._stub.GetSnapshot, request)
        return response.snapshot

    async def list_snapshot_members(self, **request: Any) -> pb.ListSnapshotMembersResponse:
        response: pb.ListSnapshotMembersResponse = await self._call(
            self._stub.ListSnapshotMembers, pb.ListSnapshotMembersRequest(**request)
        )
        return response

    async def members_of(self, snapshot_id: str, page_size: int = 500) -> list[pb.SnapshotMember]:
        """Everybody, page by page."""
        members: list[pb.SnapshotMember] = []
        token = ""
        while True:
            page = await self.list_snapshot_members(
                snapshot_id=snapshot_id, page_size=page_size, page_token=token
            )
            members += page.members
            token = page.next_page_token
            if not token:
                return members
            assert len(page.members) == page_size

    async def _call(self, method: Any, request: Any, *, timeout: float = 10) -> Any:
        try:
            return await method(request, timeout=timeout, metadata=self._metadata)
        except grpc.aio.AioRpcError as failure:
            raise error_of_call(failure, call_id="") from failure
