"""Whatever was committed is handed over, once, whoever fails on the way."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from libs.postgres import roles
from libs.relay import ACTIVATE, InternalChannel, Ringer, activation
from tests.contract.auth.processes import free_address
from tests.contract.relay.conftest import NO_GRACE
from tests.contract.relay.receivers import receiving
from tests.contract.relay.rows import insert_decisions, insert_deliveries, insert_events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from libs.postgres.database import Database
    from libs.relay import InternalSettings, Sweeper
    from tests.conftest import Connect, CreateTenant
    from tests.contract.relay.conftest import Clock, NewSweeper, Side
    from tests.contract.relay.receivers import Receiver

# Few enough that a look finds nothing missing while some of them are still writing.
WRITER_COUNT = 3
TRANSACTION_COUNT = 30


async def store(database: Database, tenant_id: UUID, count: int = 1) -> list[UUID]:
    """Store events, in a transaction of their own."""
    async with database.tenant(tenant_id) as connection:
        return await insert_events(connection, tenant_id, count)


async def sweep_all(sweeper: Sweeper) -> None:
    """Sweep until there is nothing to hand over."""
    while await sweeper.sweep():
        pass


async def sweep_until_further(sweeper: Sweeper) -> None:
    """Sweep until something was handed over: a channel takes a moment to find a server again."""
    while not await sweeper.sweep():  # noqa: ASYNC110  # nothing tells when it has
        await asyncio.sleep(0.01)


async def watermark(superuser: Any, tenant_id: UUID, hop: str = "activate") -> int:
    position = await superuser.fetchval(
        "SELECT position FROM relay_watermark WHERE tenant_id = $1 AND hop = $2", tenant_id, hop
    )
    return int(position or 0)


async def transaction_of(superuser: Any, event_id: UUID) -> int:
    return int(
        await superuser.fetchval(
            "SELECT transaction_id FROM marketing_event WHERE event_id = $1", event_id
        )
    )


async def test_what_is_missing_is_handed_over_once(
    activate: Side, database: Database, tenant_id: UUID, superuser: Any
) -> None:
    decided = await store(database, tenant_id, 3)
    await insert_decisions(superuser, tenant_id, decided)
    missing = await store(database, tenant_id, 3)
    assert await activate.sweeper.sweep()
    assert not await activate.sweeper.sweep()
    assert sorted(activate.receiver.received) == sorted(missing)
    assert activate.receiver.clients == {"leo-ingest"}
    assert await watermark(superuser, tenant_id) > await transaction_of(superuser, missing[0])


async def test_a_tenant_at_rest_is_not_looked_at(
    activate: Side, database: Database, finder: Database, tenant_id: UUID
) -> None:
    await store(database, tenant_id)
    await sweep_all(activate.sweeper)
    async with finder.across_tenants() as connection:
        assert [row async for row in ACTIVATE.find_tenants(connection)] == []
    await store(database, tenant_id)
    async with finder.across_tenants() as connection:
        found = [row["tenant_id"] async for row in ACTIVATE.find_tenants(connection)]
    assert found == [tenant_id]


async def test_a_transaction_that_commits_late_behind_newer_ones_is_not_lost(
    activate: Side, database: Database, tenant_id: UUID, superuser: Any
) -> None:
    async with database.tenant(tenant_id) as slow:
        (late,) = await insert_events(slow, tenant_id, 1)
        slow_id = int(await slow.fetchval("SELECT pg_current_xact_id()"))
        newer = await store(database, tenant_id, 2)
        await sweep_all(activate.sweeper)
        assert sorted(activate.receiver.received) == sorted(newer)
        assert slow_id < await transaction_of(superuser, newer[0])
        assert 0 < await watermark(superuser, tenant_id) <= slow_id
    await sweep_all(activate.sweeper)
    assert activate.receiver.received[2:] == [late]
    assert await watermark(superuser, tenant_id) > slow_id


async def test_a_transaction_that_rolls_back_holds_nothing_up(
    activate: Side, database: Database, tenant_id: UUID, superuser: Any, connect: Connect
) -> None:
    async with connect(roles.INGEST) as slow:
        transaction = slow.transaction()
        await transaction.start()
        await slow.fetchval("SELECT enter_tenant_v1($1, 1000)", tenant_id)
        await insert_events(slow, tenant_id, 1)
        slow_id = int(await slow.fetchval("SELECT pg_current_xact_id()"))
        newer = await store(database, tenant_id)
        await sweep_all(activate.sweeper)
        await transaction.rollback()
    await sweep_all(activate.sweeper)
    assert activate.receiver.received == newer
    assert await watermark(superuser, tenant_id) > slow_id


async def test_nothing_is_lost_or_handed_over_twice_while_many_write(
    activate: Side, database: Database, tenant_id: UUID, superuser: Any
) -> None:
    chance = random.Random(7)
    stored: set[UUID] = set()
    writing = True

    async def write(seed: int) -> None:
        own = random.Random(seed)
        for _ in range(TRANSACTION_COUNT):
            async with database.tenant(tenant_id) as connection:
                ids = await insert_events(connection, tenant_id, own.randrange(1, 4))
                for _ in range(own.randrange(60)):
                    await connection.fetchval("SELECT 1")
            stored.update(ids)

    async def sweep() -> None:
        while writing:
            await activate.sweeper.sweep()

    sweeping = asyncio.create_task(sweep())
    await asyncio.gather(*(write(chance.randrange(1000)) for _ in range(WRITER_COUNT)))
    writing = False
    await sweeping
    await sweep_all(activate.sweeper)
    assert sorted(activate.receiver.received) == sorted(stored)
    assert await superuser.fetchval("SELECT count(*) FROM decision") == len(stored)


async def test_a_new_row_is_left_to_the_doorbell_and_holds_the_watermark(
    activate: Side, database: Database, tenant_id: UUID, new_sweeper: NewSweeper, superuser: Any
) -> None:
    sweeper = new_sweeper(ACTIVATE, activate.address)
    (event_id,) = await store(database, tenant_id)
    assert not await sweeper.sweep()
    assert activate.receiver.received == []
    assert await watermark(superuser, tenant_id) <= await transaction_of(superuser, event_id)
    await superuser.execute(
        "CREATE OR REPLACE FUNCTION leo_now() RETURNS timestamptz LANGUAGE sql STABLE"
        " RETURN now() + interval '3 seconds'"
    )
    assert await sweeper.sweep()
    assert activate.receiver.received == [event_id]


async def test_tenants_take_turns_batch_by_batch(
    activate: Side, database: Database, create_tenant: CreateTenant
) -> None:
    tenants = sorted([await create_tenant() for _ in range(2)])
    for tenant_id in tenants:
        await store(database, tenant_id, 700)
    await sweep_all(activate.sweeper)
    called = [(tenant_id, len(ids)) for tenant_id, ids in activate.receiver.calls]
    assert called == [(tenants[0], 500), (tenants[1], 500), (tenants[0], 200), (tenants[1], 200)]


async def test_one_that_breaks_its_batch_is_found_and_the_others_go_on(
    activate: Side, database: Database, tenant_id: UUID, clock: Clock, superuser: Any
) -> None:
    stored = [event_id for _ in range(20) for event_id in await store(database, tenant_id)]
    poison = stored[7]
    activate.receiver.poisonous = {poison}
    await sweep_all(activate.sweeper)
    decided = await superuser.fetch("SELECT trigger_id FROM decision")
    assert {row["trigger_id"] for row in decided} == set(stored) - {poison}
    assert await watermark(superuser, tenant_id) == await transaction_of(superuser, poison)
    # It is tried again by itself, later each time.
    activate.receiver.calls.clear()
    newer = await store(database, tenant_id, 2)
    for ahead, tried in ((0.9, False), (1.1, True), (3.0, False), (3.2, True)):
        clock.seconds = ahead
        await sweep_all(activate.sweeper)
        assert (activate.receiver.calls[-1][1] == [poison]) is tried
        activate.receiver.calls[:] = [(tenant_id, newer)]
    activate.receiver.poisonous = set()
    clock.seconds = 10
    await sweep_all(activate.sweeper)
    assert await watermark(superuser, tenant_id) > await transaction_of(superuser, newer[0])


async def test_one_that_is_refused_holds_nobody_up(
    activate: Side, database: Database, tenant_id: UUID, clock: Clock, superuser: Any
) -> None:
    refused, good = await store(database, tenant_id, 2)
    activate.receiver.refused = {refused}
    await sweep_all(activate.sweeper)
    newer = await store(database, tenant_id)
    await sweep_all(activate.sweeper)
    assert sorted(activate.receiver.received) == sorted([refused, good, *newer])
    activate.receiver.refused = set()
    clock.seconds = 2
    await sweep_all(activate.sweeper)
    assert activate.receiver.received[-1] == refused
    assert await superuser.fetchval("SELECT count(*) FROM decision") == 3


async def test_while_every_batch_breaks_nothing_is_called_without_end(
    activate: Side, database: Database, tenant_id: UUID
) -> None:
    stored = await store(database, tenant_id, 8)
    activate.receiver.poisonous = set(stored)
    await sweep_all(activate.sweeper)
    # 8, 4, 2 and then each alone.
    assert [len(ids) for _, ids in activate.receiver.calls] == [8, 4, 2] + 8 * [1]


async def test_two_sweepers_do_not_work_for_one_tenant_at_once(
    activate: Side, database: Database, tenant_id: UUID, new_sweeper: NewSweeper
) -> None:
    second = new_sweeper(ACTIVATE, activate.address, grace=NO_GRACE)
    (event_id,) = await store(database, tenant_id)
    activate.receiver.gate.clear()
    first = asyncio.create_task(activate.sweeper.sweep())
    await activate.receiver.called.wait()
    assert not await second.sweep()
    activate.receiver.gate.set()
    assert await first
    assert not await second.sweep()
    assert activate.receiver.received == [event_id]


async def test_both_hops_of_a_tenant_go_on_at_once(
    activate: Side, dispatch: Side, database: Database, tenant_id: UUID, superuser: Any
) -> None:
    acted = await insert_decisions(
        superuser, tenant_id, await store(database, tenant_id), outcome="acted"
    )
    missing = await store(database, tenant_id)
    activate.receiver.gate.clear()
    first = asyncio.create_task(activate.sweeper.sweep())
    await activate.receiver.called.wait()
    assert await dispatch.sweeper.sweep()
    activate.receiver.gate.set()
    assert await first
    assert (activate.receiver.received, dispatch.receiver.received) == (missing, acted)


async def test_what_the_doorbell_lost_is_found(
    activate: Side, database: Database, tenant_id: UUID, internal: InternalSettings
) -> None:
    nobody = InternalChannel(free_address(), internal)
    stored = await store(database, tenant_id, 3)
    tried = asyncio.Event()

    async def hand_over(tenant_id: UUID, ids: Sequence[UUID]) -> Mapping[UUID, str]:
        try:
            return await activation(nobody)(tenant_id, ids)
        finally:
            tried.set()

    async with nobody, Ringer(hand_over) as ringer:
        ringer.ring(tenant_id, stored)
        await tried.wait()
    assert ringer.lost_count == len(stored)
    await sweep_all(activate.sweeper)
    assert sorted(activate.receiver.received) == sorted(stored)


async def test_a_receiver_that_was_away_gets_everything_when_it_is_back(
    receiver: Receiver,
    realm: str,
    database: Database,
    tenant_id: UUID,
    new_sweeper: NewSweeper,
) -> None:
    address = free_address()
    sweeper = new_sweeper(ACTIVATE, address, grace=NO_GRACE)
    stored = await store(database, tenant_id, 5)
    assert not await sweeper.sweep()
    async with receiving(receiver, realm, address):
        await sweep_until_further(sweeper)
        # In one batch: nobody was to blame.
        assert [sorted(ids) for _, ids in receiver.calls] == [sorted(stored)]
    more = await store(database, tenant_id, 5)
    assert not await sweeper.sweep()
    async with receiving(receiver, realm, address):
        await sweep_until_further(sweeper)
    assert sorted(receiver.calls[1][1]) == sorted(more)


async def test_only_acting_decisions_without_any_delivery_are_handed_to_dispatch(
    dispatch: Side, database: Database, tenant_id: UUID, superuser: Any
) -> None:
    events = await store(database, tenant_id, 6)
    await insert_decisions(superuser, tenant_id, events[:2], outcome="no_consent")
    handed = await insert_decisions(superuser, tenant_id, events[2:4], outcome="acted")
    await insert_deliveries(superuser, tenant_id, handed[:1], state="suppressed")
    await insert_deliveries(superuser, tenant_id, handed[1:])
    missing = await insert_decisions(superuser, tenant_id, events[4:], outcome="acted")
    await sweep_all(dispatch.sweeper)
    assert sorted(dispatch.receiver.received) == sorted(missing)
    last = await superuser.fetchval("SELECT max(transaction_id) FROM decision")
    assert await watermark(superuser, tenant_id, "dispatch") > int(last)
    assert await watermark(superuser, tenant_id, "activate") == 0


async def test_a_running_sweeper_goes_on_by_itself(
    activate: Side, database: Database, tenant_id: UUID
) -> None:
    running = asyncio.create_task(activate.sweeper.run())
    for _ in range(2):
        activate.receiver.called.clear()
        await store(database, tenant_id)
        await activate.receiver.called.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(activate.receiver.received) == 2
