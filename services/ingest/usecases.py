"""What ingest does, one function for each RPC; nothing here knows gRPC."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from uuid_utils.compat import uuid7

from libs.fields.paging import PAGE_SIZE_MAX, Page
from services.ingest.domain.event import Event
from services.ingest.domain.limits import EVENT_BATCH_COUNT_MAX
from services.ingest.domain.profile import StoredProfile, VersionedProfile
from services.ingest.domain.tenant import tenant_id_of
from services.ingest.errors import EventConflictError, FieldInvalidError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from libs.postgres.batcher import Batcher
    from libs.rpc.errors import LeoError
    from libs.rpc.requests import Origin
    from services.ingest.domain.consent import Consent, Statement
    from services.ingest.domain.event import StoredEvent
    from services.ingest.domain.profile import CurrentProfile
    from services.ingest.domain.tenant import NewTenant, State, TableRows, Tenant
    from services.ingest.store import IngestStore

# Events of one stream that may wait for the database before the stream is read no further.
STREAM_WINDOW_COUNT = 4 * EVENT_BATCH_COUNT_MAX


@dataclass(frozen=True, slots=True)
class Ingested:
    """An event that is stored; duplicate if it had been before."""

    event_id: UUID
    received_at: datetime
    duplicate: bool


# What was read of an event or profile: good, or why not.
ReadEvent: TypeAlias = Event | FieldInvalidError
EventAnswer: TypeAlias = "Ingested | LeoError"
EventBatcher: TypeAlias = "Batcher[Event, StoredEvent]"
ProfileAnswer: TypeAlias = "StoredProfile | LeoError"


async def ingest_event(batcher: EventBatcher, tenant_id: UUID, event: Event) -> Ingested:
    """Store one event, together with others that arrive at the same moment.

    Raises:
        EventConflictError: the identity is taken by an event with another body.
    """
    answer = _event_answer(event, await batcher.submit(tenant_id, event))
    if isinstance(answer, EventConflictError):
        raise answer
    return answer


async def batch_ingest_events(
    store: IngestStore, tenant_id: UUID, events: Sequence[ReadEvent]
) -> list[EventAnswer]:
    """Store the good ones of a batch in one transaction and answer for each."""
    good = [event for event in events if isinstance(event, Event)]
    stored = iter(await store.insert_events(tenant_id, good) if good else [])
    return [
        _event_answer(event, next(stored)) if isinstance(event, Event) else event
        for event in events
    ]


async def stream_events(
    store: IngestStore, tenant_id: UUID, requests: AsyncIterator[Sequence[ReadEvent]]
) -> AsyncIterator[tuple[int, list[EventAnswer]]]:
    """Store a stream's events while it goes on; yields the position of each stretch's first answer.

    Reading goes on while a batch is written, up to STREAM_WINDOW_COUNT events ahead. What was read
    before the stream broke or failed is written and answered first.
    """
    waiting: list[ReadEvent] = []
    changed = asyncio.Condition()
    ended = False

    async def read() -> None:
        nonlocal ended
        try:
            async for events in requests:
                async with changed:
                    await changed.wait_for(lambda: len(waiting) < STREAM_WINDOW_COUNT)
                    waiting.extend(events)
                    changed.notify_all()
        finally:
            async with changed:
                ended = True
                changed.notify_all()

    reader = asyncio.create_task(read())
    position = 1
    try:
        while True:
            async with changed:
                await changed.wait_for(lambda: waiting or ended)
                batch = waiting[:EVENT_BATCH_COUNT_MAX]
                del waiting[:EVENT_BATCH_COUNT_MAX]
                changed.notify_all()
            if not batch:
                break
            yield position, await batch_ingest_events(store, tenant_id, batch)
            position += len(batch)
        await reader
    finally:
        reader.cancel()


async def batch_upsert_profiles(
    store: IngestStore, tenant_id: UUID, profiles: Sequence[VersionedProfile | LeoError]
) -> list[ProfileAnswer]:
    """Store the good ones of a batch in one transaction and answer for each."""
    good = [profile for profile in profiles if isinstance(profile, VersionedProfile)]
    stored = iter(await store.upsert_profiles(tenant_id, good) if good else [])
    return [
        next(stored) if isinstance(profile, VersionedProfile) else profile for profile in profiles
    ]


async def get_profile(
    store: IngestStore, tenant_id: UUID, ext_id: str
) -> tuple[CurrentProfile, list[Consent]]:
    """One profile as it is now, with its consents. Raises ProfileMissingError."""
    return await store.get_profile(tenant_id, ext_id)


async def set_consent(
    store: IngestStore, tenant_id: UUID, ext_id: str, statement: Statement, origin: Origin
) -> Consent:
    """Record what a person said, in the audit trail as well. Raises what the store raises."""
    return await store.set_consent(tenant_id, ext_id, statement, origin)


async def create_tenant(store: IngestStore, tenant: NewTenant, origin: Origin) -> Tenant:
    """Make room for one more customer, in the audit trail as well. Raises what the store raises."""
    tenant_id = tenant_id_of(origin.request.request_id) if origin.request else uuid7()
    return await store.create_tenant(tenant_id, tenant, origin)


async def get_tenant(store: IngestStore, *, tenant_id: UUID | None, name: str | None) -> Tenant:
    """One tenant, by id or name. Raises TenantUnknownError."""
    return await store.find_tenant(tenant_id=tenant_id, name=name)


async def list_tenants(store: IngestStore, page: Page) -> tuple[list[Tenant], bool]:
    """A page of all tenants, and whether there are more."""
    return await store.list_tenants(page)


async def set_tenant_state(
    store: IngestStore, tenant_id: UUID, state: State, origin: Origin
) -> Tenant:
    """Suspend a tenant or let it go on. Raises what the store raises."""
    return await store.set_tenant_state(tenant_id, state, origin)


async def hold_after_restore(store: IngestStore, origin: Origin) -> None:
    """Suspend every tenant, since the database is that of a backup; no RPC does this."""
    after: tuple[str, ...] = ()
    more = True
    while more:
        tenants, more = await store.list_tenants(Page(size=PAGE_SIZE_MAX, after=after))
        for tenant in tenants:
            await store.hold_after_restore(tenant.tenant_id, origin)
            after = (tenant.name,)


async def remove_tenant(
    store: IngestStore, tenant_id: UUID, *, name: str, validate_only: bool, origin: Origin
) -> tuple[Tenant, list[TableRows]]:
    """Have a tenant removed, or tell what that would remove.

    Raises:
        TenantUnknownError: there is none with this id.
        FieldInvalidError: the name is not the tenant's.
    """
    tenant = await store.find_tenant(tenant_id=tenant_id, name=None)
    if validate_only:
        return tenant, await store.count_tenant_rows(tenant_id)
    if name != tenant.name:
        raise FieldInvalidError.of("name", "must be the name of the tenant that tenant_id names")
    return await store.remove_tenant(tenant_id, origin)


def _event_answer(event: Event, stored: StoredEvent) -> Ingested | EventConflictError:
    if not stored.same_body:
        return EventConflictError(event.event_id)
    return Ingested(event.event_id, stored.received_at, stored.duplicate)
