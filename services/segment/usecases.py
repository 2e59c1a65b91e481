"""What segment does, one function for each RPC; nothing here knows gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uuid_utils.compat import uuid7

from services.segment.domain.segment import check_condition

if TYPE_CHECKING:
    from uuid import UUID

    from libs.rpc.paging import Page
    from libs.rpc.requests import RequestKey
    from services.segment.domain.segment import NewSegment, Segment
    from services.segment.store import SegmentStore


async def create_segment(
    store: SegmentStore, tenant_id: UUID, segment: NewSegment, request: RequestKey | None
) -> Segment:
    """Store a segment whose condition compiles.

    Raises:
        ConditionInvalidError: it does not.
        RequestIdReusedError, SegmentExistsError: as the store.
    """
    check_condition(segment.condition)
    return await store.insert_segment(tenant_id, uuid7(), segment, request)


async def get_segment(store: SegmentStore, tenant_id: UUID, segment_id: UUID) -> Segment:
    """One segment as it is now. Raises SegmentMissingError."""
    return await store.get_segment(tenant_id, segment_id)


async def list_segments(
    store: SegmentStore, tenant_id: UUID, page: Page
) -> tuple[list[Segment], bool]:
    """One page by name, and whether there are more."""
    after_name = page.after[0] if page.after else ""
    segments = await store.list_segments(tenant_id, after_name=after_name, count_max=page.size + 1)
    return segments[: page.size], len(segments) > page.size
