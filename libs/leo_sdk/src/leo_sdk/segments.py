"""The RPCs of SegmentService."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from leo.segment.v1.segment_service_pb2 import (
    CreateSegmentRequest,
    GetSegmentRequest,
    ListSegmentsRequest,
    ListSegmentsResponse,
    Segment,
)
from leo.segment.v1.segment_service_pb2_grpc import SegmentServiceStub

if TYPE_CHECKING:
    from datetime import timedelta

    import grpc

    from leo_sdk.calls import Calls


class SegmentClient:
    """Named audiences: `LeoClient.segments`."""

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
