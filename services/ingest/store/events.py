"""What happened, each event once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.ingest.domain.event import StoredEvent
from services.ingest.store.statements import QUERIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    import asyncpg

    from libs.postgres.database import Connection, Database
    from services.ingest.domain.event import Event


class Events:
    """The table marketing_event."""

    _database: Database
    _ring: Callable[[UUID, Sequence[UUID]], None] | None

    async def insert_events(self, tenant_id: UUID, events: Sequence[Event]) -> list[StoredEvent]:
        """Store events in one transaction; the answers are in the order of `events`.

        The same identity may stand twice in `events`: the first one is stored.
        """
        first: dict[UUID, Event] = {}
        for event in events:
            first.setdefault(event.event_id, event)
        rows = sorted(first.values(), key=lambda event: event.event_id.int)
        async with self._database.tenant(tenant_id) as connection:
            done = await _insert_events(connection, tenant_id, rows)
            stored: dict[UUID, asyncpg.Record] = {}
            if done["inserted_count"] < len(rows):
                async for row in QUERIES.select_events(
                    connection, tenant_id=tenant_id, event_ids=list(first)
                ):
                    stored[row["event_id"]] = row
        if self._ring is not None:
            self._ring(
                tenant_id,
                # In the order in which they came.
                [key for key in first if key not in stored or stored[key]["inserted"]],
            )
        new = StoredEvent(received_at=done["received_at"], duplicate=False, same_body=True)
        answers = []
        for event in events:
            row = stored.get(event.event_id)
            is_first = first[event.event_id] is event
            if is_first and (row is None or row["inserted"]):
                answers.append(new)
                continue
            digest = row["body_digest"] if row else first[event.event_id].body_digest
            answers.append(
                StoredEvent(
                    received_at=row["received_at"] if row else new.received_at,
                    duplicate=True,
                    same_body=digest == event.body_digest,
                )
            )
        return answers


async def _insert_events(
    connection: Connection, tenant_id: UUID, rows: list[Event]
) -> asyncpg.Record:
    return await QUERIES.insert_events(
        connection,
        tenant_id=tenant_id,
        event_ids=[event.event_id for event in rows],
        sources=[event.source for event in rows],
        source_event_ids=[event.source_event_id for event in rows],
        event_types=[event.event_type for event in rows],
        profile_ext_ids=[event.profile_ext_id for event in rows],
        occurred_ats=[event.occurred_at for event in rows],
        properties=[event.properties for event in rows],
        body_digests=[event.body_digest for event in rows],
    )
