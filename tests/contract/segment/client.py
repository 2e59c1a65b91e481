"""SegmentService as a client of one tenant calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

    async def _call(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=10, metadata=self._metadata)
        except grpc.aio.AioRpcError as failure:
            raise error_of_call(failure, call_id="") from failure
