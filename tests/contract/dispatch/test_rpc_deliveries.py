from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from leo.dispatch.v1.dispatch_service_pb2 import (
    BatchDispatchRequest,
    Delivery,
    GetDeliveryRequest,
    ListDeliveriesRequest,
)
from leo_sdk import InvalidError, MissingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.dispatch.conftest import Client
    from tests.contract.dispatch.world import Person, World


async def deliveries(client: Client, world: World, person: Person, count: int) -> list[str]:
    """Delivery ids, the oldest first."""
    ids = []
    for _ in range(count):
        request = BatchDispatchRequest(decision_ids=[str(await world.decision(person))])
        ids.append((await client.BatchDispatch(request)).results[0].delivery_id)
    return ids


async def listed(client: Client, **fields: Any) -> list[str]:
    answer = await client.ListDeliveries(ListDeliveriesRequest(**fields))
    return [delivery.delivery_id for delivery in answer.deliveries]


async def test_attempts_come_in_the_order_in_which_they_happened(
    client: Client, world: World
) -> None:
    (delivery_id,) = await deliveries(client, world, await world.person(), 1)
    # Not in order, because rows have none.
    await world.attempt(delivery_id, 2, "intent")
    await world.attempt(delivery_id, 1, "intent")
    await world.attempt(delivery_id, 1, "late", "accepted")
    await world.attempt(delivery_id, 1, "result", "unknown")
    await world.set_state(delivery_id, "outcome_unknown", attempt_count=2, reason="lease ran out")
    answer = await client.GetDelivery(GetDeliveryRequest(delivery_id=delivery_id))
    assert [(each.attempt, each.phase, each.kind) for each in answer.attempts] == [
        (1, "intent", ""),
        (1, "result", "unknown"),
        (1, "late", "accepted"),
        (2, "intent", ""),
    ]
    assert answer.attempts[1].provider_class == "AMB"
    assert answer.delivery.state == Delivery.STATE_OUTCOME_UNKNOWN
    assert answer.delivery.reason == "lease ran out"
    assert answer.delivery.attempt_count == 2
    assert not answer.delivery.HasField("not_before_time")
    assert not answer.receipts


@pytest.mark.parametrize("delivery_id", ["", "no id"])
async def test_a_delivery_is_named_by_a_uuid(client: Client, delivery_id: str) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.GetDelivery(GetDeliveryRequest(delivery_id=delivery_id))
    assert refused.value.reason == "FIELD_INVALID"
    assert [violation.field for violation in refused.value.violations] == ["delivery_id"]


async def test_an_unknown_delivery_is_missing(client: Client) -> None:
    delivery_id = str(uuid4())
    with pytest.raises(MissingError) as refused:
        await client.GetDelivery(GetDeliveryRequest(delivery_id=delivery_id))
    assert refused.value.reason == "DELIVERY_MISSING"
    assert refused.value.metadata == {"delivery_id": delivery_id}


async def test_deliveries_are_listed_by_pages_the_newest_first(
    client: Client, world: World
) -> None:
    ids = await deliveries(client, world, await world.person(), 5)
    pages, token = [], ""
    while True:
        request = ListDeliveriesRequest(page_size=2, page_token=token)
        answer = await client.ListDeliveries(request)
        pages.append([delivery.delivery_id for delivery in answer.deliveries])
        token = answer.next_page_token
        if not token:
            break
        # What comes in between is newer, and moves no page.
        await deliveries(client, world, await world.person(), 1)
    assert pages == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]


async def test_a_full_last_page_ends_the_list(client: Client, world: World) -> None:
    await deliveries(client, world, await world.person(), 2)
    answer = await client.ListDeliveries(ListDeliveriesRequest(page_size=2))
    assert len(answer.deliveries) == 2
    assert answer.next_page_token == ""


async def test_deliveries_are_filtered_by_state_and_person(client: Client, world: World) -> None:
    one, two = await world.person(), await world.person()
    first = await deliveries(client, world, one, 3)
    second = await deliveries(client, world, two, 1)
    await world.set_state(first[1], "failed", reason="code -118")
    assert await listed(client) == [*second, *reversed(first)]
    assert await listed(client, state=Delivery.STATE_FAILED) == [first[1]]
    assert await listed(client, profile_id=str(one.profile_id)) == list(reversed(first))
    assert await listed(
        client, profile_id=str(one.profile_id), state=Delivery.STATE_PENDING, page_size=1
    ) == [first[2]]
    assert await listed(client, profile_id=str(uuid4())) == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"page_size": -1}, "page_size"),
        ({"page_token": "not ours"}, "page_token"),
        ({"page_token": "WyJ4Il0="}, "page_token"),
        ({"profile_id": "x"}, "profile_id"),
        ({"state": 99}, "state"),
    ],
)
async def test_bad_fields_of_a_list_are_named(
    client: Client, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.ListDeliveries(ListDeliveriesRequest(**fields))
    assert refused.value.reason == "FIELD_INVALID"
    assert [violation.field for violation in refused.value.violations] == [field]


async def test_deliveries_of_another_tenant_are_not_seen(
    client: Client, client_as: Callable[..., Client], other_tenant_id: UUID, world: World
) -> None:
    person = await world.person()
    (delivery_id,) = await deliveries(client, world, person, 1)
    other = client_as(other_tenant_id)
    assert await listed(other) == []
    assert await listed(other, profile_id=str(person.profile_id)) == []
    with pytest.raises(MissingError):
        await other.GetDelivery(GetDeliveryRequest(delivery_id=delivery_id))
