"""What the services' stores do to the database, and beside it the least that PostgreSQL must do.

The one place where a library knows services: their own code is measured, not a copy of it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import asyncpg
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from libs.bench.audit import decision_row
from libs.bench.driver import event_columns
from libs.bench.plan import BATCH_EVENT_COUNT, BATCH_IN_FLIGHT
from libs.bench.profile_reads import events_of_people
from libs.postgres import roles
from libs.postgres.database import Database
from libs.postgres.queries import load_queries
from libs.postgres.settings import PostgresSettings
from libs.rpc.requests import Origin
from services.decision.store.decisions import insert_decisions
from services.dispatch.store import DispatchStore
from services.ingest.domain.event import Event
from services.ingest.store import IngestStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from libs.postgres.database import Connection
    from libs.supervisor.running import RunningStack

    # One transaction; gives how many rows it wrote.
    Operation = Callable[[], Awaitable[int]]

_QUERIES = load_queries(__file__)

# As many decisions as a hop hands over at a time when the system is neither idle nor behind.
DELIVERY_BATCH_COUNT: Final = 100
# Deliveries in batches for each one that goes alone: both ways take about as long.
_BATCHED_PER_SINGLE: Final = 10
_DECISION_BATCH_COUNT: Final = 500
_DELIVERY_TTL: Final = timedelta(hours=24)
_ORIGIN: Final = Origin(actor="leo-bench", call_id="leo-bench", request=None)


@dataclass(frozen=True, slots=True)
class Ground:
    """A tenant of the bench's own, and the database as each role that writes.

    Attributes:
        decision, dispatch, ingest: as the services have it.
        bare_dispatch, bare_ingest: pools of the same roles, with nothing of ours in between.
        auditor: counts what is there.
        delivery_count: deliveries of one measurement one by one; ten times as many in batches.
        event_count: events of one measurement.
    """

    tenant_id: UUID
    decision: Database
    dispatch: Database
    ingest: Database
    bare_dispatch: Any
    bare_ingest: Any
    auditor: Connection
    delivery_count: int
    event_count: int


@dataclass(frozen=True, slots=True)
class Way:
    """One thing that is measured.

    Attributes:
        name: in the JSON.
        label: in the table.
        operations: makes those of one measurement, before the clock starts.
        in_flight: so many operations at once.
        bare: the way that this one is compared with; None where it is compared with none.
        count: the rows that there are, for a way that writes: each must be there afterwards.
    """

    name: str
    label: str
    operations: Callable[[Ground], Awaitable[Sequence[Operation]]]
    in_flight: int = 1
    bare: str | None = None
    count: Callable[[Ground], Awaitable[int]] | None = None


@asynccontextmanager
async def open_ground(
    stack: RunningStack, *, delivery_count: int, event_count: int
) -> AsyncIterator[Ground]:
    """A new tenant in the stack's database, and ways to it."""
    tenant_id: UUID = uuid7()
    migrate = await asyncpg.connect(stack.dsn(roles.MIGRATE))
    try:
        await _QUERIES.become_migrate(migrate)
        await _QUERIES.insert_tenant(migrate, tenant_id=tenant_id, name=f"bench-{uuid4().hex[:12]}")
    finally:
        await migrate.close()

    async def database(role: str) -> Database:
        settings = PostgresSettings(dsn=SecretStr(stack.dsn(role)))
        return await Database.open(settings, application_name="leo-bench")

    async def pool(role: str) -> Any:
        return await asyncpg.create_pool(stack.dsn(role), min_size=1, max_size=BATCH_IN_FLIGHT)

    databases = {
        role: await database(role) for role in (roles.DECISION, roles.DISPATCH, roles.INGEST)
    }
    pools = {role: await pool(role) for role in (roles.DISPATCH, roles.INGEST)}
    try:
        async with stack.auditor() as auditor:
            yield Ground(
                tenant_id=tenant_id,
                decision=databases[roles.DECISION],
                dispatch=databases[roles.DISPATCH],
                ingest=databases[roles.INGEST],
                bare_dispatch=pools[roles.DISPATCH],
                bare_ingest=pools[roles.INGEST],
                auditor=auditor,
                delivery_count=delivery_count,
                event_count=event_count,
            )
    finally:
        for opened in (*databases.values(), *pools.values()):
            await opened.close()


async def _decide(ground: Ground, count: int) -> list[dict[str, Any]]:
    """Decisions to act that have no delivery yet, written as decision writes them."""
    now = datetime.now(UTC)
    rule_id = uuid7()
    rows = [decision_row(rule_id, number, now) for number in range(count)]
    for batch in _batches(rows, _DECISION_BATCH_COUNT):
        async with ground.decision.tenant(ground.tenant_id) as connection:
            await insert_decisions(connection, ground.tenant_id, list(batch), _ORIGIN)
    return rows


async def _deliveries(ground: Ground, *, count: int, batch_count: int) -> list[Operation]:
    store = DispatchStore(ground.dispatch)
    ids = [row["decision_id"] for row in await _decide(ground, count)]

    def operation(batch: Sequence[UUID]) -> Operation:
        async def insert() -> int:
            made = await store.insert_deliveries(ground.tenant_id, batch)
            return sum(new for _, new in made.values())

        return insert

    return [operation(batch) for batch in _batches(ids, batch_count)]


async def _bare_deliveries(ground: Ground, *, count: int, batch_count: int) -> list[Operation]:
    rows = await _decide(ground, count)
    return [
        _bare(ground, ground.bare_dispatch, _QUERIES.insert_deliveries, _delivery_columns(batch))
        for batch in _batches(rows, batch_count)
    ]


def _delivery_columns(decisions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The rows that dispatch would make of these decisions."""
    choices = [decision["choices"][0] for decision in decisions]
    return {
        "delivery_ids": [uuid7() for _ in decisions],
        "decision_ids": [decision["decision_id"] for decision in decisions],
        "channels": [choice["channel"] for choice in choices],
        "account_ids": [choice["account_id"] for choice in choices],
        "template_ids": [choice["template_id"] for choice in choices],
        "profile_ids": [decision["profile_id"] for decision in decisions],
        "profile_versions": [decision["profile_version"] for decision in decisions],
        "purposes": [choice["purpose"] for choice in choices],
        "recipient_refs": [choice["recipient_ref"] for choice in choices],
        "dedupe_keys": [uuid4().bytes + uuid4().bytes for _ in decisions],
        "expires_ats": [decision["decided_at"] + _DELIVERY_TTL for decision in decisions],
    }


async def _events(ground: Ground) -> list[Operation]:
    store = IngestStore(ground.ingest)

    def operation(columns: dict[str, Any]) -> Operation:
        # In the order of event_columns, which is that of Event's fields.
        events = [Event(*fields) for fields in zip(*columns.values(), strict=True)]

        async def insert() -> int:
            stored = await store.insert_events(ground.tenant_id, events)
            return sum(not event.duplicate for event in stored)

        return insert

    return [operation(columns) for columns in _event_batches(ground)]


async def _bare_events(ground: Ground) -> list[Operation]:
    return [
        _bare(ground, ground.bare_ingest, _QUERIES.insert_events, columns)
        for columns in _event_batches(ground)
    ]


def _event_batches(ground: Ground) -> list[dict[str, Any]]:
    source = f"bench-{uuid4().hex[:12]}"
    numbers = range(ground.event_count)
    return [event_columns(source, batch) for batch in _batches(numbers, BATCH_EVENT_COUNT)]


def _bare(ground: Ground, pool: Any, statement: Any, columns: dict[str, Any]) -> Operation:
    """One statement in one transaction in the tenant's context."""
    row_count = len(next(iter(columns.values())))

    async def insert() -> int:
        async with pool.acquire() as connection, connection.transaction():
            await _QUERIES.enter_tenant(connection, tenant_id=str(ground.tenant_id))
            await statement(connection, tenant_id=ground.tenant_id, **columns)
        return row_count

    return insert


def _batches(items: Sequence[Any], count: int) -> list[Sequence[Any]]:
    return [items[start : start + count] for start in range(0, len(items), count)]


async def _count_deliveries(ground: Ground) -> int:
    count: int = await _QUERIES.count_deliveries(ground.auditor, tenant_id=ground.tenant_id)
    return count


async def _count_events(ground: Ground) -> int:
    count: int = await _QUERIES.count_events_of_tenant(ground.auditor, tenant_id=ground.tenant_id)
    return count


def _one(ground: Ground) -> dict[str, int]:
    return {"count": ground.delivery_count, "batch_count": 1}


def _many(ground: Ground) -> dict[str, int]:
    return {
        "count": ground.delivery_count * _BATCHED_PER_SINGLE,
        "batch_count": DELIVERY_BATCH_COUNT,
    }


# In the order in which they take turns.
WAYS: Final = (
    Way(
        "delivery_bare",
        "one delivery, bare insert",
        lambda ground: _bare_deliveries(ground, **_one(ground)),
        count=_count_deliveries,
    ),
    Way(
        "delivery",
        "one delivery of its decision",
        lambda ground: _deliveries(ground, **_one(ground)),
        bare="delivery_bare",
        count=_count_deliveries,
    ),
    Way(
        "delivery_batch_bare",
        f"{DELIVERY_BATCH_COUNT} deliveries, bare insert",
        lambda ground: _bare_deliveries(ground, **_many(ground)),
        count=_count_deliveries,
    ),
    Way(
        "delivery_batch",
        f"{DELIVERY_BATCH_COUNT} deliveries of their decisions",
        lambda ground: _deliveries(ground, **_many(ground)),
        bare="delivery_batch_bare",
        count=_count_deliveries,
    ),
    Way(
        "event_batch_bare",
        f"{BATCH_EVENT_COUNT} events, bare insert, {BATCH_IN_FLIGHT} in flight",
        _bare_events,
        in_flight=BATCH_IN_FLIGHT,
        count=_count_events,
    ),
    Way(
        "event_batch",
        f"{BATCH_EVENT_COUNT} events by ingest's store, {BATCH_IN_FLIGHT} in flight",
        _events,
        in_flight=BATCH_IN_FLIGHT,
        bare="event_batch_bare",
        count=_count_events,
    ),
    Way("person_events", "one person's events of a month, over 16 partitions", events_of_people),
)
