"""What segment does, one function for each RPC; nothing here knows gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uuid_utils.compat import uuid7

from services.segment.domain.segment import check_condition

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from libs.fields.paging import Page
    from libs.rpc.requests import Origin, RequestKey
    from services.segment.domain.segment import NewSegment, Segment
    from services.segment.domain.snapshot import Member, Snapshot
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


async def create_snapshot(
    store: SegmentStore,
    tenant_id: UUID,
    segment_id: UUID,
    *,
    member_count_max: int,
    timeout: timedelta,
    origin: Origin,
) -> Snapshot:
    """Freeze who is in a segment now. Raises what the store raises."""
    return await store.create_snapshot(
        tenant_id,
        uuid7(),
        segment_id,
        member_count_max=member_count_max,
        timeout=timeout,
        origin=origin,
    )


async def get_snapshot(store: SegmentStore, tenant_id: UUID, snapshot_id: UUID) -> Snapshot:
    """One snapshot. Raises SnapshotMissingError."""
    return await store.get_snapshot(tenant_id, snapshot_id)


async def list_snapshot_members(
    store: SegmentStore, tenant_id: UUID, snapshot_id: UUID, *, first: int, size: int
) -> tuple[list[Member], bool]:
    """One page from a position on, and whether there are more. Raises SnapshotMissingError."""
    members = await store.list_members(tenant_id, snapshot_id, first=first, count_max=size + 1)
    return members[:size], len(members) > size
