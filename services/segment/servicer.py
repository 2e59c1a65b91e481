"""SegmentService on the wire: translation only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from leo.segment.v1 import segment_service_pb2 as pb
from leo.segment.v1.segment_service_pb2_grpc import SegmentServiceServicer
from libs.auth.caller import current_origin, current_tenant
from libs.fields.paging import token_of
from libs.rpc.call import current_call
from services.segment import messages, usecases

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

    from services.segment.settings import SegmentSettings
    from services.segment.store import SegmentStore

    Context: TypeAlias = ServicerContext[Any, Any]


class SegmentServicer(SegmentServiceServicer):
    """One method for each RPC of SegmentService."""

    def __init__(self, store: SegmentStore, settings: SegmentSettings) -> None:
        self._store = store
        self._settings = settings

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

    async def CreateSnapshot(
        self, request: pb.CreateSnapshotRequest, context: Context
    ) -> pb.CreateSnapshotResponse:
        snapshot = await usecases.create_snapshot(
            self._store,
            current_tenant(),
            messages.id_of("segment_id", request.segment_id),
            member_count_max=self._settings.snapshot_member_count_max,
            timeout=current_call().deadline_remaining(),
            origin=current_origin(messages.request_key_of(request)),
        )
        return pb.CreateSnapshotResponse(snapshot=messages.snapshot_message(snapshot))

    async def GetSnapshot(
        self, request: pb.GetSnapshotRequest, context: Context
    ) -> pb.GetSnapshotResponse:
        snapshot = await usecases.get_snapshot(
            self._store, current_tenant(), messages.id_of("snapshot_id", request.snapshot_id)
        )
        return pb.GetSnapshotResponse(snapshot=messages.snapshot_message(snapshot))

    async def ListSnapshotMembers(
        self, request: pb.ListSnapshotMembersRequest, context: Context
    ) -> pb.ListSnapshotMembersResponse:
        first, size = messages.member_page_of(request)
        members, more = await usecases.list_snapshot_members(
            self._store,
            current_tenant(),
            messages.id_of("snapshot_id", request.snapshot_id),
            first=first,
            size=size,
        )
        return pb.ListSnapshotMembersResponse(
            members=map(messages.member_message, members),
            next_page_token=messages.member_page_token(members) if more else "",
        )
