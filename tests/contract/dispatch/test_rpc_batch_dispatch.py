from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from leo.dispatch.v1.dispatch_service_pb2 import (
    BatchDispatchRequest,
    Delivery,
    DispatchResult,
    GetDeliveryRequest,
)
from leo_sdk import ForbiddenError, InvalidError, error_of_status
from services.dispatch.domain.limits import DISPATCH_BATCH_COUNT_MAX
from tests.contract.dispatch.world import CHANNEL, World, choice

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.dispatch.conftest import Client


async def dispatched(client: Client, *decision_ids: UUID | str) -> list[DispatchResult]:
    request = BatchDispatchRequest(decision_ids=[str(each) for each in decision_ids])
    return list((await client.BatchDispatch(request)).results)


async def test_each_acting_decision_gets_one_pending_delivery(client: Client, world: World) -> None:
    person = await world.person()
    first = choice(choice=1, recipient_ref="phone:1")
    decision_id = await world.decision(person, choices=[first, choice(choice=2)])
    (result,) = await dispatched(client, decision_id)
    assert result.decision_id == str(decision_id)
    assert not result.duplicate
    assert not result.HasField("error")
    assert UUID(result.delivery_id).version == 7
    got = await client.GetDelivery(GetDeliveryRequest(delivery_id=result.delivery_id))
    delivery = got.delivery
    assert delivery.state == Delivery.STATE_PENDING
    assert (delivery.choice, delivery.channel) == (1, CHANNEL)
    assert delivery.account_id == first["account_id"]
    assert delivery.template_id == first["template_id"]
    assert delivery.profile_id == str(person.profile_id)
    assert delivery.not_before_time.ToDatetime(UTC) == delivery.create_time.ToDatetime(UTC)
    assert delivery.expire_time.ToDatetime(UTC) > datetime.now(UTC)


async def test_what_decision_and_profile_said_goes_into_the_row(
    client: Client, world: World, auditor: Any
) -> None:
    person = await world.person()
    decision_id = await world.decision(person, choices=[choice(purpose="care")])
    (result,) = await dispatched(client, decision_id)
    row = await auditor.fetchrow("SELECT * FROM delivery_log")
    assert row["delivery_id"] == UUID(result.delivery_id)
    assert (row["purpose"], row["recipient_ref"]) == ("care", "phone:0")
    assert (row["profile_version"], row["step"], row["epoch"]) == (1, 0, 0)
    # Nothing of the person goes into the row: the address is named, not told.
    assert "84903111222" not in str(dict(row))


async def test_a_delivery_waits_for_quiet_hours_to_end(client: Client, world: World) -> None:
    later = datetime.now(UTC) + timedelta(minutes=30)
    past = datetime.now(UTC) - timedelta(minutes=30)
    person = await world.person()
    ids = [await world.decision(person, not_before=time) for time in (later, past)]
    times = []
    for result in await dispatched(client, *ids):
        request = GetDeliveryRequest(delivery_id=result.delivery_id)
        times.append((await client.GetDelivery(request)).delivery)
    assert times[0].not_before_time.ToDatetime(UTC) == later
    assert times[1].not_before_time.ToDatetime(UTC) == times[1].create_time.ToDatetime(UTC)


async def test_a_batch_driven_again_changes_nothing(
    client: Client, world: World, auditor: Any
) -> None:
    person = await world.person()
    ids = [await world.decision(person) for _ in range(3)]
    first = await dispatched(client, *ids[:2])
    again = await dispatched(client, *ids)
    assert [result.duplicate for result in first] == [False, False]
    assert [result.duplicate for result in again] == [True, True, False]
    assert [each.delivery_id for each in again[:2]] == [each.delivery_id for each in first]
    assert await auditor.fetchval("SELECT count(*) FROM delivery_log") == 3


async def test_batches_at_once_make_one_delivery_a_decision(
    client: Client, world: World, auditor: Any
) -> None:
    person = await world.person()
    ids = [await world.decision(person) for _ in range(20)]
    batches = await asyncio.gather(*(dispatched(client, *order) for order in (ids, ids[::-1]) * 4))
    made = [result for batch in batches for result in batch if not result.duplicate]
    assert {result.decision_id for result in made} == set(map(str, ids))
    assert len(made) == len(ids)
    assert await auditor.fetchval("SELECT count(*) FROM delivery_log") == len(ids)


async def test_the_same_decision_twice_in_a_batch_is_a_duplicate(
    client: Client, world: World
) -> None:
    decision_id = await world.decision(await world.person())
    one, two = await dispatched(client, decision_id, decision_id)
    assert one.delivery_id == two.delivery_id
    assert (one.duplicate, two.duplicate) == (False, True)


async def test_each_item_is_answered_by_itself(client: Client, world: World) -> None:
    person = await world.person()
    acting = await world.decision(person)
    asleep = await world.decision(person, outcome="no_consent", choices=[])
    impossible = await world.decision(person, choices=[])
    results = await dispatched(client, asleep, uuid4(), acting, "no id", impossible)
    errors = [error_of_status(result.error) for result in results if result.HasField("error")]
    assert [error.reason for error in errors] == [
        "DECISION_MISSING",
        "DECISION_MISSING",
        "FIELD_INVALID",
        "DECISION_MISSING",
    ]
    assert {error.domain for error in errors} == {"dispatch.leo"}
    assert errors[0].metadata == {"decision_id": str(asleep)}
    assert [violation.field for violation in errors[2].violations] == ["decision_ids[3]"]
    assert results[2].delivery_id
    assert [bool(result.delivery_id) for result in results].count(True) == 1


@pytest.mark.parametrize("count", [0, DISPATCH_BATCH_COUNT_MAX + 1])
async def test_a_batch_has_1_to_500_decisions(client: Client, count: int) -> None:
    with pytest.raises(InvalidError) as refused:
        await dispatched(client, *[uuid4()] * count)
    assert refused.value.reason == "FIELD_INVALID"
    assert [violation.field for violation in refused.value.violations] == ["decision_ids"]


async def test_decisions_of_another_tenant_are_missing(
    client_as: Callable[..., Client], other_tenant_id: UUID, world: World, auditor: Any
) -> None:
    decision_id = await world.decision(await world.person())
    (result,) = await dispatched(client_as(other_tenant_id), decision_id)
    assert error_of_status(result.error).reason == "DECISION_MISSING"
    assert await auditor.fetchval("SELECT count(*) FROM delivery_log") == 0


async def test_our_own_services_dispatch_for_a_tenant(edge: Client, world: World) -> None:
    (result,) = await dispatched(edge, await world.decision(await world.person()))
    assert result.delivery_id


async def test_reading_does_not_let_dispatch(
    client_as: Callable[..., Client], tenant_id: UUID
) -> None:
    with pytest.raises(ForbiddenError) as refused:
        await dispatched(client_as(tenant_id, "leo.dispatch.read"), uuid4())
    assert refused.value.reason == "SCOPE_MISSING"
