"""Events that deciding fails on: each ends with a decision that says so, and holds nobody back.

A time zone that nobody knows is read only where a rule with quiet hours is about to act. So a rule
that the others do not meet makes poison of an event, here, and nothing of the server is replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import pytest
from google.rpc import code_pb2

from leo.decision.v1 import decision_service_pb2 as pb
from leo_sdk import InternalError
from services.decision.usecases import FAILURE_COUNT_MAX
from tests.contract.decision.audit import broken_entries
from tests.contract.decision.client import outcomes_of
from tests.contract.decision.world import hours

if TYPE_CHECKING:
    from tests.contract.decision.client import Client
    from tests.contract.decision.conftest import Bell, ClientOf, Serve
    from tests.contract.decision.world import World


@pytest.fixture
async def poisoned(client: Client, world: World) -> World:
    """A tenant in which an event with the property poison=true cannot be decided about."""
    await world.set_time_zone("Nowhere/Nowhere")
    await world.person("an")
    campaign_id = await client.active_campaign()
    await client.create_rule(world.rule(campaign_id, name="a", priority=2, cooldown=hours(1)))
    await client.create_rule(
        world.rule(
            campaign_id,
            name="b",
            condition="event.properties.poison == true",
            quiet_hours=pb.QuietHours(start="00:00", end="23:59"),
        )
    )
    return world


async def test_it_is_given_up_with_a_decision_and_blocks_nobody(
    client: Client, poisoned: World, bell: Bell, auditor: Any
) -> None:
    await poisoned.person("binh")
    poison = await poisoned.event("an", poison=True)
    acting = 0
    for failure in range(1, FAILURE_COUNT_MAX):
        good = await poisoned.event(("binh", "nobody")[failure % 2])
        bad, fine = await client.batch_activate([poison, good])
        assert (bad.error.code, bad.error.message) == (code_pb2.INTERNAL, "internal error")
        assert not bad.decisions
        assert len(fine.decisions) == 1
        acting += outcomes_of(fine) == ["ACTED"]
    assert acting == 1
    (given_up,) = await client.batch_activate([poison])
    assert (outcomes_of(given_up), given_up.duplicate) == (["ERROR"], False)
    assert given_up.decisions[0].reason == "deciding failed 5 times; the log says how"
    again = await client.activate_event(poison)
    assert (list(again.decisions), again.duplicate) == (list(given_up.decisions), True)
    stored = [row for row in await poisoned.decisions() if row["trigger_id"] == poison]
    assert [row["outcome"] for row in stored] == ["error"]
    assert orjson.loads(stored[0]["inputs"])["event_id"] == str(poison)
    assert len(bell.decision_ids) == acting
    assert await broken_entries(auditor, poisoned.tenant_id) == []


async def test_each_item_of_a_mixed_batch_has_its_own_answer(
    client: Client, poisoned: World, other_world: World
) -> None:
    poison = await poisoned.event("an", poison=True)
    good = await poisoned.event("an")
    elsewhere = await other_world.event("an")
    results = await client.batch_activate([elsewhere, poison, uuid4(), good, poison, good])
    told = [outcomes_of(result) or result.error.code for result in results]
    assert told == [
        code_pb2.NOT_FOUND,
        code_pb2.INTERNAL,
        code_pb2.NOT_FOUND,
        ["ACTED"],
        code_pb2.INTERNAL,
        ["ACTED"],
    ]
    assert [result.duplicate for result in results] == [False] * 5 + [True]
    assert not await other_world.decisions()


async def test_alone_it_fails_as_a_call_until_it_is_given_up(
    client: Client, poisoned: World
) -> None:
    poison = await poisoned.event("an", poison=True)
    for _ in range(1, FAILURE_COUNT_MAX):
        with pytest.raises(InternalError):
            await client.activate_event(poison)
    assert outcomes_of(await client.activate_event(poison)) == ["ERROR"]


async def test_a_rule_that_would_have_acted_on_it_does_not_cool_down(
    client: Client, poisoned: World
) -> None:
    poison = await poisoned.event("an", poison=True)
    good = await poisoned.event("an")
    bad, fine = await client.batch_activate([poison, good])
    assert bad.HasField("error")
    assert outcomes_of(fine) == ["ACTED"]


async def test_it_is_decided_about_as_any_other_once_that_is_possible(
    client: Client, client_for: ClientOf, serve: Serve, poisoned: World
) -> None:
    poison = await poisoned.event("an", poison=True)
    for _ in range(1, FAILURE_COUNT_MAX):
        (bad,) = await client.batch_activate([poison])
        assert bad.HasField("error")
    await poisoned.set_time_zone("Asia/Ho_Chi_Minh")
    elsewhere = await client_for(poisoned.tenant_id, at=await serve())
    (decided,) = await elsewhere.batch_activate([poison])
    assert outcomes_of(decided) == ["ACTED", "ACTED"]
    (again,) = await client.batch_activate([poison])
    assert (list(again.decisions), again.duplicate) == (list(decided.decisions), True)


async def test_a_rule_that_cannot_be_read_is_not_held_against_the_batch_of_another_tenant(
    client: Client, other_client: Client, poisoned: World, other_world: World
) -> None:
    poison = await poisoned.event("an", poison=True)
    (bad,) = await client.batch_activate([poison])
    assert bad.HasField("error")
    fine = await other_client.activate_event(await other_world.event("an", poison=True))
    assert outcomes_of(fine) == ["NO_PROFILE"]
