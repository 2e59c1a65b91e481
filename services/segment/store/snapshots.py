"""Snapshots: taken once, from the first chunk of members to the row that closes them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import asyncpg
import orjson

from libs import audit
from libs.conditions import compile_condition
from libs.postgres.plans import plan_along_indexes
from services.segment.domain.segment import Segment
from services.segment.domain.snapshot import (
    CHUNK_MEMBER_COUNT,
    Chosen,
    Digest,
    Member,
    Snapshot,
    chunk_of,
    is_member,
)
from services.segment.errors import (
    RequestIdReusedError,
    SegmentMissingError,
    SnapshotMissingError,
    SnapshotTooLargeError,
)
from services.segment.store.statements import QUERIES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime, timedelta
    from uuid import UUID

    from libs.postgres.database import Connection, Database
    from libs.rpc.requests import Origin, RequestKey

# Read at once. The loop serves nobody else while a page is evaluated, some 20 ms.
PAGE_PROFILE_COUNT: Final = 2000


class Snapshots:
    """The tables segment_snapshot and segment_snapshot_member."""

    _database: Database

    async def create_snapshot(
        self,
        tenant_id: UUID,
        snapshot_id: UUID,
        segment_id: UUID,
        *,
        member_count_max: int,
        timeout: timedelta,
        origin: Origin,
    ) -> Snapshot:
        """Freeze who is in a segment now; a repeated request gets its first answer.

        Shapes: reads pages of PAGE_PROFILE_COUNT profiles and writes a row for each
        CHUNK_MEMBER_COUNT members; no more than one of each is in memory.

        Args:
            tenant_id, snapshot_id, segment_id: whose, its id, of which segment.
            member_count_max: more members are refused.
            timeout: for all of it.
            origin: who asks.

        Raises:
            SegmentMissingError: the tenant has no such segment.
            SnapshotTooLargeError: it would have more members.
            RequestIdReusedError: the request's id was used with another digest.
        """
        first = await self._snapshot_of_request(tenant_id, origin.request)
        if first is not None:
            return first
        try:
            async with self._database.tenant(
                tenant_id, timeout=timeout, one_moment=True
            ) as connection:
                row = await QUERIES.select_segment(
                    connection, tenant_id=tenant_id, segment_id=segment_id
                )
                if row is None:
                    raise SegmentMissingError(segment_id)
                return await _take(
                    connection,
                    tenant_id,
                    snapshot_id,
                    Segment(**row),
                    member_count_max=member_count_max,
                    origin=origin,
                )
        except asyncpg.UniqueViolationError as error:
            # The same request at the same moment: the first one stands.
            first = await self._snapshot_of_request(tenant_id, origin.request)
            if error.constraint_name != "segment_snapshot_request_key" or first is None:
                raise
            return first

    async def get_snapshot(self, tenant_id: UUID, snapshot_id: UUID) -> Snapshot:
        """One snapshot.

        Raises:
            SnapshotMissingError: the tenant has no such snapshot.
        """
        async with self._database.tenant(tenant_id) as connection:
            return await _snapshot(connection, tenant_id, snapshot_id)

    async def list_members(
        self, tenant_id: UUID, snapshot_id: UUID, *, first: int, count_max: int
    ) -> list[Member]:
        """At most `count_max` members from a position on.

        Raises:
            SnapshotMissingError: the tenant has no such snapshot.
        """
        async with self._database.tenant(tenant_id) as connection:
            await _snapshot(connection, tenant_id, snapshot_id)
            return [
                Member(**row)
                async for row in QUERIES.select_members(
                    connection,
                    tenant_id=tenant_id,
                    snapshot_id=snapshot_id,
                    first=first,
                    last=first + count_max - 1,
                )
            ]

    async def _snapshot_of_request(
        self, tenant_id: UUID, request: RequestKey | None
    ) -> Snapshot | None:
        if request is None:
            return None
        async with self._database.tenant(tenant_id) as connection:
            row = await QUERIES.select_snapshot_of_request(
                connection, tenant_id=tenant_id, request_id=request.request_id
            )
        if row is None:
            return None
        values = dict(row)
        if values.pop("request_digest") != request.digest:
            raise RequestIdReusedError(request.request_id)
        return Snapshot(**values)


async def _take(
    connection: Connection,
    tenant_id: UUID,
    snapshot_id: UUID,
    segment: Segment,
    *,
    member_count_max: int,
    origin: Origin,
) -> Snapshot:
    head = {
        "snapshot_id": snapshot_id,
        "segment_id": segment.segment_id,
        "segment_version": segment.version,
        "condition": segment.condition,
        "taken_at": await QUERIES.select_now(connection),
    }
    digest = Digest(tenant_id=tenant_id, **head)
    chunk_no = member_count = 0
    waiting: list[Chosen] = []

    async def write(members: list[Chosen]) -> None:
        nonlocal chunk_no
        chunk = chunk_of(chunk_no, members)
        digest.add(chunk)
        await QUERIES.insert_members(
            connection,
            tenant_id=tenant_id,
            snapshot_id=snapshot_id,
            chunk_no=chunk.chunk_no,
            member_count=len(members),
            profile_nos=chunk.profile_nos,
            profile_versions=chunk.profile_versions,
            consent_keys=chunk.consent_keys,
            consents=chunk.consents,
        )
        chunk_no += 1

    async for members in _members(connection, tenant_id, segment, head["taken_at"]):
        member_count += len(members)
        if member_count > member_count_max:
            raise SnapshotTooLargeError(segment.segment_id, member_count_max)
        waiting += members
        while len(waiting) >= CHUNK_MEMBER_COUNT:
            await write(waiting[:CHUNK_MEMBER_COUNT])
            del waiting[:CHUNK_MEMBER_COUNT]
    if waiting:
        await write(waiting)
    snapshot = Snapshot(**head, member_count=member_count, digest=digest.digest())
    await _close(connection, tenant_id, snapshot, origin)
    return snapshot


async def _members(
    connection: Connection, tenant_id: UUID, segment: Segment, now: datetime
) -> AsyncIterator[list[Chosen]]:
    """The members in the order of profile_no, page by page."""
    condition = compile_condition(segment.condition, "segment")
    after_profile_no = 0
    await plan_along_indexes(connection)
    while True:
        rows = [
            row
            async for row in QUERIES.select_candidates(
                connection,
                tenant_id=tenant_id,
                after_profile_no=after_profile_no,
                count_max=PAGE_PROFILE_COUNT,
            )
        ]
        if not rows:
            return
        after_profile_no = rows[-1]["profile_no"]
        consents: dict[UUID, list[tuple[str, str]]] = defaultdict(list)
        async for row in QUERIES.select_granted_consents(
            connection, tenant_id=tenant_id, profile_ids=[row["profile_id"] for row in rows]
        ):
            consents[row["profile_id"]].append((row["channel"], row["purpose"]))
        members = []
        for row in rows:
            granted = consents.get(row["profile_id"], ())
            profile = dict(row) | {"attributes": orjson.loads(row["attributes"])}
            if is_member(condition, profile, granted, now):
                members.append(Chosen(row["profile_no"], row["version"], granted))
        yield members


async def _close(
    connection: Connection, tenant_id: UUID, snapshot: Snapshot, origin: Origin
) -> None:
    request = origin.request
    # The digest covers every row, so the entry needs no leaves.
    entry_id = await audit.append(
        connection,
        kind="snapshot_created",
        actor=origin.actor,
        call_id=origin.call_id,
        details={
            "snapshot_id": str(snapshot.snapshot_id),
            "segment_id": str(snapshot.segment_id),
            "segment_version": snapshot.segment_version,
            "member_count": snapshot.member_count,
            "digest": snapshot.digest.hex(),
        },
    )
    await QUERIES.insert_snapshot(
        connection,
        tenant_id=tenant_id,
        snapshot_id=snapshot.snapshot_id,
        segment_id=snapshot.segment_id,
        segment_version=snapshot.segment_version,
        condition=snapshot.condition,
        member_count=snapshot.member_count,
        digest=snapshot.digest,
        taken_at=snapshot.taken_at,
        audit_entry_id=entry_id,
        request_id=request.request_id if request else None,
        request_digest=request.digest if request else None,
    )


async def _snapshot(connection: Connection, tenant_id: UUID, snapshot_id: UUID) -> Snapshot:
    row = await QUERIES.select_snapshot(connection, tenant_id=tenant_id, snapshot_id=snapshot_id)
    if row is None:
        raise SnapshotMissingError(snapshot_id)
    return Snapshot(**row)
