"""Segments as they are now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.postgres.plans import plan_along_indexes
from services.segment.domain.segment import Segment
from services.segment.errors import (
    RequestIdReusedError,
    SegmentExistsError,
    SegmentMissingError,
)
from services.segment.store.statements import QUERIES

if TYPE_CHECKING:
    from uuid import UUID

    from libs.postgres.database import Database
    from libs.rpc.requests import RequestKey
    from services.segment.domain.segment import NewSegment


class Segments:
    """The table segment."""

    _database: Database

    async def insert_segment(
        self, tenant_id: UUID, segment_id: UUID, segment: NewSegment, request: RequestKey | None
    ) -> Segment:
        """Store a segment; a repeated request gets its first answer.

        Raises:
            RequestIdReusedError: the request's id was used with another digest.
            SegmentExistsError: the name is taken.
        """
        async with self._database.tenant(tenant_id) as connection:
            row = await QUERIES.insert_segment(
                connection,
                tenant_id=tenant_id,
                segment_id=segment_id,
                name=segment.name,
                display_name=segment.display_name,
                condition=segment.condition,
                request_id=request.request_id if request else None,
                request_digest=request.digest if request else None,
            )
            if row is not None:
                return Segment(**row)
            if request is not None:
                first = await QUERIES.select_segment_of_request(
                    connection, tenant_id=tenant_id, request_id=request.request_id
                )
                if first is not None:
                    values = dict(first)
                    if values.pop("request_digest") != request.digest:
                        raise RequestIdReusedError(request.request_id)
                    return Segment(**values)
            raise SegmentExistsError(segment.name)

    async def get_segment(self, tenant_id: UUID, segment_id: UUID) -> Segment:
        """One segment as it is now.

        Raises:
            SegmentMissingError: the tenant has no such segment.
        """
        async with self._database.tenant(tenant_id) as connection:
            row = await QUERIES.select_segment(
                connection, tenant_id=tenant_id, segment_id=segment_id
            )
        if row is None:
            raise SegmentMissingError(segment_id)
        return Segment(**row)

    async def list_segments(
        self, tenant_id: UUID, *, after_name: str, count_max: int
    ) -> list[Segment]:
        """At most `count_max` segments behind a name, in the order of their names."""
        async with self._database.tenant(tenant_id) as connection:
            await plan_along_indexes(connection)
            return [
                Segment(**row)
                async for row in QUERIES.select_segments(
                    connection, tenant_id=tenant_id, after_name=after_name, count_max=count_max
                )
            ]
