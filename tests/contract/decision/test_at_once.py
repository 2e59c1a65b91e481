"""Events and people of whom several calls and processes decide at once, or one after the other."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg

from leo.decision.v1 import decision_service_pb2 as pb
from libs.postgres import roles
from tests.contract.decision.client import outcomes_of
from tests.contract.decision.world import hours

if TYPE_CHECKING:
    from tests.conftest import Connect, DsnOf
    from tests.contract.decision.client import Client
    from tests.contract.decision.conftest import Bell, ClientOf, Serve
    from tests.contract.decision.world import World


async def test_a_batch_that_two_processes_decide_at_once_is_decided_once(
    client: Client, client_for: ClientOf, serve: Serve, world: World, bell: Bell
) -> None:
    elsewhere = await client_for(world.tenant_id, at=await serve(bell))
    for number in range(20):
        await world.person(f"p{number}")
    campaign_id = await client.active_campaign()
    for name in ("a", "b"):
        await client.create_rule(world.rule(campaign_id, name=name))
    # Some of them of nobody.
    events = [await world.event(f"p{number % 25}") for number in range(200)]
    first, second = await asyncio.gather(
        client.batch_activate(events), elsewhere.batch_activate(list(reversed(events)))
    )
    second.reverse()
    assert [result.decisions for result in first] == [result.decisions for result in second]
    assert all(
        [one.duplicate, other.duplicate].count(True) == 1
        for one, other in zip(first, second, strict=True)
    )
    stored = await world.decisions()
    assert len(stored) == sum(len(result.decisions) for result in first)
    assert Counter(row["outcome"] for row in stored) == {"acted": 320, "no_profile": 40}
    acting = [row["decision_id"] for row in stored if row["outcome"] == "acted"]
    assert sorted(bell.decision_ids) == sorted(acting)


async def test_a_person_who_comes_while_an_event_is_decided_does_not_have_it_decided_twice(
    client: Client, connect: Connect, world: World
) -> None:
    """Somebody else found nobody, and commits while we wait; ours had found the person."""
    event_id = await world.event("an")
    await client.create_rule(world.rule(await client.active_campaign()))
    async with connect(roles.DECISION) as other, other.transaction():
        await other.execute("SELECT set_config('leo.tenant_id', $1, true)", str(world.tenant_id))
        entry_id = uuid4()
        await other.execute(
            "SELECT audit_append_v1($1, 'decided', 'test', 'call', NULL, 0, $2, '{}')",
            entry_id,
            bytes(32),
        )
        await other.execute(
            "INSERT INTO decision (tenant_id, decision_id, trigger_kind, trigger_id, ordinal,"
            " rule_set_version, outcome, reason, audit_entry_id, leaf_no)"
            " VALUES ($1, $2, 'event', $3, 0, 1, 'no_profile', '', $4, 0)",
            world.tenant_id,
            uuid4(),
            event_id,
            entry_id,
        )
        await world.person("an")
        ours = asyncio.create_task(client.activate_event(event_id))
        await waits_or_ends(ours, other)
    result = await ours
    assert (outcomes_of(result), result.duplicate) == (["NO_PROFILE"], True)
    assert len(await world.decisions()) == 1


async def waits_or_ends(task: asyncio.Task[Any], holder: Any) -> None:
    """Wait until somebody waits for the transaction of a connection, or has not needed to."""
    while not task.done() and not await holder.fetchval(  # noqa: ASYNC110 - in the database
        "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    ):
        await asyncio.sleep(0.01)


async def test_a_cooldown_holds_within_a_batch(client: Client, world: World) -> None:
    people = ("an", "binh")
    for name in people:
        await world.person(name)
    campaign_id = await client.active_campaign()
    await client.create_rule(world.rule(campaign_id, name="a", cooldown=hours(1)))
    await client.create_rule(world.rule(campaign_id, name="b"))
    events = [await world.event(people[number % 2]) for number in range(10)]
    results = await client.batch_activate(events)
    assert Counter(map(tuple, map(outcomes_of, results))) == {
        ("ACTED", "ACTED"): 2,
        ("COOLDOWN", "ACTED"): 8,
    }


async def test_a_cooldown_holds_between_processes(
    client: Client, client_for: ClientOf, serve: Serve, world: World
) -> None:
    elsewhere = await client_for(world.tenant_id, at=await serve())
    await world.person("an")
    await world.person("binh")
    await client.create_rule(world.rule(await client.active_campaign(), cooldown=hours(1)))
    events = [await world.event(("an", "binh")[number % 2]) for number in range(60)]
    results = await asyncio.gather(
        *(
            (client, elsewhere)[number % 2].batch_activate(events[number : number + 10])
            for number in range(0, 60, 5)
        )
    )
    told = {result.event_id: outcomes_of(result) for batch in results for result in batch}
    assert Counter(outcome for (outcome,) in told.values()) == {"ACTED": 2, "COOLDOWN": 58}
    stored = await world.decisions()
    assert Counter(row["outcome"] for row in stored) == {"acted": 2, "cooldown": 58}
    acted = [row["profile_id"] for row in stored if row["outcome"] == "acted"]
    assert len(set(acted)) == 2


async def test_a_rule_that_gets_a_cooldown_while_it_acts_holds_to_it_at_once(
    client: Client, connect: Connect, world: World
) -> None:
    """The first event is decided by the version without one, and commits after the second began."""
    await world.person("an")
    rule = await client.create_rule(world.rule(await client.active_campaign()))
    async with connect("postgres") as holder:
        async with holder.transaction():
            # Decided, and on its way into the audit.
            await holder.execute("LOCK TABLE audit_entry IN EXCLUSIVE MODE")
            first = asyncio.create_task(client.activate_event(await world.event("an")))
            await waits_or_ends(first, holder)
            await world.store_terms(rule.rule_id, cooldown_us=3_600_000_000)
            second = asyncio.create_task(client.activate_event(await world.event("an")))
            await waiting(holder, 2)
        told = [outcomes_of(await first), outcomes_of(await second)]
        assert told == [["ACTED"], ["COOLDOWN"]]
        assert not await holder.fetch("SELECT * FROM ledger_breach('1 hour')")


async def test_whoever_waited_for_a_person_decides_by_the_rules_of_afterwards(
    client: Client, connect: Connect, world: World
) -> None:
    await world.person("an")
    rule = await client.create_rule(world.rule(await client.active_campaign()))
    async with connect("postgres") as holder:
        async with holder.transaction():
            await holder.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended($1 || ' ' || profile_no, 0))"
                " FROM cdp_profiles",
                str(world.tenant_id),
            )
            ours = asyncio.create_task(client.activate_event(await world.event("an")))
            await waits_or_ends(ours, holder)
            await world.store_terms(rule.rule_id, hold_out_percent=100)
        result = await ours
    assert outcomes_of(result) == ["HOLD_OUT"]
    assert result.decisions[0].rule_version == 2


async def waiting(holder: Any, count: int) -> None:
    """Wait until so many sessions wait for a lock, of whomever."""
    while count != await holder.fetchval(  # noqa: ASYNC110 - in the database
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    ):
        await asyncio.sleep(0.01)


async def test_a_cooldown_is_over_when_its_time_is(client: Client, world: World) -> None:
    await world.person("an")
    rule = await client.create_rule(world.rule(await client.active_campaign(), cooldown=hours(1)))
    told = [outcomes_of(await client.activate_event(await world.event("an"))) for _ in range(2)]
    span = pb.Rule(rule_id=rule.rule_id)
    span.cooldown.FromMicroseconds(1)
    await client.update_rule(span, "cooldown")
    told.append(outcomes_of(await client.activate_event(await world.event("an"))))
    assert told == [["ACTED"], ["COOLDOWN"], ["ACTED"]]


async def test_whoever_carries_out_decisions_is_told_after_they_are_committed(
    serve: Serve, client_for: ClientOf, dsn_of: DsnOf, world: World
) -> None:
    seen: list[int] = []

    async def count(decision_ids: list[UUID]) -> int:
        connection = await asyncpg.connect(dsn_of(roles.AUDITOR))
        try:
            found: int = await connection.fetchval(
                "SELECT count(*) FROM decision WHERE decision_id = ANY($1)", decision_ids
            )
        finally:
            await connection.close()
        return found

    def ring(tenant_id: UUID, decision_ids: list[UUID]) -> None:
        # In a thread, for whose end the server's loop waits: it can commit nothing meanwhile.
        with ThreadPoolExecutor() as pool:
            seen.append(pool.submit(asyncio.run, count(decision_ids)).result())

    client = await client_for(world.tenant_id, at=await serve(ring))
    await world.person("an")
    campaign_id = await client.active_campaign()
    for name in ("a", "b"):
        await client.create_rule(world.rule(campaign_id, name=name))
    events = [await world.event("an"), await world.event("x"), await world.event("an")]
    await client.batch_activate(events)
    assert seen == [4]
