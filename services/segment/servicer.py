"""SegmentService on the wire: translation only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from leo.segment.v1 import segment_service_pb2 as pb
from leo.segment.v1.segment_service_pb2_grpc import SegmentServiceServicer
from libs.auth.caller import current_tenant
from libs.rpc.paging import token_of
from services.segment import messages, usecases

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

    from services.segment.store import SegmentStore

    Context: TypeAlias = ServicerContext[Any, Any]


class SegmentServicer(SegmentServiceServicer):
    """One method for each RPC of SegmentService."""

    def __init__(self, store: SegmentStore) -> None:
        self._store = store

    async def CreateSegment(
        self, request: pb.CreateSegmentRequest, context: Context
    ) -> pb.CreateSegmentResponse:
        segment = await usecases.create_segment(
            self._store,
            current_tenant(),
            messages.segment_of(request.segment),
            messages.request_key_of(request),
        )
        return pb.CreateSegmentResponse(segment=messages.segment_message(segment))

    async def GetSegment(
        self, request: pb.GetSegmentRequest, context: Context
    ) -> pb.GetSegmentResponse:
        segment = await usecases.get_segment(
            self._store, current_tenant(), messages.id_of("segment_id", request.segment_id)
        )
        return pb.GetSegmentResponse(segment=messages.segment_message(segment))

    async def ListSegments(
        self, request: pb.ListSegmentsRequest, context: Context
    ) -> pb.ListSegmentsResponse:
        segments, more = await usecases.list_segments(
            self._store, current_tenant(), messages.list_page_of(request)
        )
        return pb.ListSegmentsResponse(
            segments=map(messages.segment_message, segments),
            next_page_token=token_of(segments[-1].name) if more else "",
        )
