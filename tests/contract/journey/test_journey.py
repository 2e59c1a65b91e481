"""The journey of an event or a person, by one SQL statement."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from libs.postgres import roles
from tests.contract.journey.stories import HEALTHY, START, History, Teller, attempt

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conftest import Connect

BY_EVENT = "SELECT * FROM v_journey WHERE tenant_id = $1 AND event_id = $2 ORDER BY at, rank"
BY_LAUNCH = "SELECT * FROM v_journey WHERE tenant_id = $1 AND launch_id = $2 ORDER BY at, rank"
BY_PROFILE = "SELECT * FROM v_journey WHERE tenant_id = $1 AND profile_id = $2 ORDER BY at, rank"


async def test_journey_tells_everything_in_order(
    teller: Teller, connect: Connect, tenant_id: UUID
) -> None:
    told = await teller.story(
        tenant_id,
        History(
            state="accepted",
            attempts=[*attempt(1, "retry_at"), *attempt(2, "accepted")],
            receipts=["read", "delivered"],
        ),
    )
    await teller.decision(
        tenant_id, told.event_id, profile_id=told.profile_id, ordinal=1, outcome="no_consent"
    )
    await teller.story(tenant_id, HEALTHY["was accepted"])
    async with connect(roles.AUDITOR) as auditor:
        rows = await auditor.fetch(BY_EVENT, tenant_id, told.event_id)
    assert [(row["step"], row["outcome"]) for row in rows] == [
        ("event", "received"),
        ("decision", "acted"),
        ("decision", "no_consent"),
        ("delivery", "created"),
        ("attempt", "intent"),
        ("attempt", "retry_at"),
        ("attempt", "intent"),
        ("attempt", "accepted"),
        ("delivery", "accepted"),
        ("receipt", "read"),
        ("receipt", "delivered"),
    ]
    assert {row["profile_id"] for row in rows} == {told.profile_id}
    by_step: dict[str, Any] = {row["step"]: row for row in rows}
    assert by_step["event"]["id"] == told.event_id
    assert by_step["event"]["parent_id"] is None
    assert rows[1]["id"] == told.decision_id
    assert rows[1]["parent_id"] == told.event_id
    assert by_step["delivery"]["id"] == told.delivery_id
    assert by_step["delivery"]["parent_id"] == told.decision_id
    assert by_step["attempt"]["id"] == by_step["attempt"]["parent_id"] == told.delivery_id
    assert json.loads(by_step["attempt"]["details"])["attempt"] == 2
    assert by_step["receipt"]["parent_id"] == told.delivery_id
    assert by_step["receipt"]["id"] in told.receipt_ids
    assert json.loads(rows[1]["details"])["rule"] == "thank-you"


async def test_journey_of_a_launch_has_its_people_and_a_person_s_has_the_launch(
    teller: Teller, connect: Connect, tenant_id: UUID
) -> None:
    told = await teller.launched(tenant_id, HEALTHY["was accepted"])
    await teller.healthy(tenant_id)
    one = [
        ("decision", "acted"),
        ("delivery", "created"),
        ("attempt", "intent"),
        ("attempt", "accepted"),
        ("delivery", "accepted"),
        ("receipt", "delivered"),
        ("receipt", "read"),
    ]
    async with connect(roles.AUDITOR) as auditor:
        rows = await auditor.fetch(BY_LAUNCH, tenant_id, told.event_id)
        of_person = await auditor.fetch(BY_PROFILE, tenant_id, told.profile_id)
        by_event = await auditor.fetch(BY_EVENT, tenant_id, told.event_id)
    assert sorted((row["step"], row["outcome"]) for row in rows) == sorted(
        [("launch", "succeeded"), ("decision", "hold_out"), *one]
    )
    assert {row["launch_id"] for row in rows} == {told.event_id}
    assert {row["event_id"] for row in rows} == {None}
    assert [(row["step"], row["outcome"]) for row in of_person] == one
    (launch, decision) = (rows[0], of_person[0])
    assert (launch["step"], launch["id"], launch["profile_id"]) == ("launch", told.event_id, None)
    assert json.loads(launch["details"])["campaign"] == "spring"
    assert (decision["id"], decision["parent_id"]) == (told.decision_id, told.event_id)
    # A launch's id is no event's.
    assert by_event == []


@pytest.mark.parametrize("name", HEALTHY)
async def test_delivery_is_told_twice_made_and_where_it_stands_with_the_reason(
    teller: Teller, connect: Connect, tenant_id: UUID, name: str
) -> None:
    told = await teller.story(tenant_id, HEALTHY[name])
    async with connect(roles.AUDITOR) as auditor:
        rows = await auditor.fetch(BY_EVENT, tenant_id, told.event_id)
    found = [(row["outcome"], row["reason"]) for row in rows if row["step"] == "delivery"]
    assert found == [("created", ""), (HEALTHY[name].state, HEALTHY[name].reason)]


async def test_receipt_stands_before_the_state_that_it_led_to(
    teller: Teller, connect: Connect, tenant_id: UUID
) -> None:
    told = await teller.story(
        tenant_id,
        HEALTHY["was settled by a receipt"],
        updated_at=START + timedelta(minutes=1),
    )
    async with connect(roles.AUDITOR) as auditor:
        rows = await auditor.fetch(BY_EVENT, tenant_id, told.event_id)
    assert [(row["step"], row["outcome"]) for row in rows[-2:]] == [
        ("receipt", "delivered"),
        ("delivery", "accepted"),
    ]


async def test_journey_of_a_person_has_all_their_events(
    teller: Teller, connect: Connect, tenant_id: UUID
) -> None:
    told = await teller.story(tenant_id, HEALTHY["was accepted"])
    undecided = await teller.event(tenant_id, profile_id=told.profile_id)
    await teller.story(tenant_id, HEALTHY["was accepted"])
    async with connect(roles.AUDITOR) as auditor:
        of_event = await auditor.fetch(BY_EVENT, tenant_id, told.event_id)
        of_person = await auditor.fetch(BY_PROFILE, tenant_id, told.profile_id)
    assert len(of_event) == 8
    assert len(of_person) == 9
    assert {row["event_id"] for row in of_person} == {told.event_id, undecided}


async def test_service_sees_journeys_of_its_tenant_alone_and_nobody_s_personal_data(
    teller: Teller, connect: Connect
) -> None:
    own, other = await teller.tenant(), await teller.tenant()
    for tenant in (own, other):
        await teller.healthy(tenant)
    async with connect(roles.DECISION) as service, service.transaction():
        assert await service.fetch("SELECT * FROM v_journey") == []
        await service.execute("SELECT set_config('leo.tenant_id', $1, true)", str(own))
        rows = await service.fetch("SELECT * FROM v_journey")
    assert len(rows) > 100
    assert {row["tenant_id"] for row in rows} == {own}
    assert "PERSONAL" not in str([dict(row) for row in rows])


@pytest.mark.parametrize(
    ("receipts", "reached"),
    [
        ([], ("", False, False, False)),
        (["sent"], ("sent", False, False, False)),
        (["read", "delivered", "delivered", "sent"], ("read", False, False, False)),
        (["clicked", "complained"], ("clicked", False, True, False)),
        (["bounced", "sent"], ("sent", True, False, False)),
        (["failed", "other"], ("", False, False, True)),
    ],
)
async def test_delivery_reached_what_the_furthest_receipt_says(
    teller: Teller,
    connect: Connect,
    tenant_id: UUID,
    receipts: list[str],
    reached: tuple[str, bool, bool, bool],
) -> None:
    told = await teller.story(
        tenant_id, History(state="accepted", attempts=attempt(1, "accepted"), receipts=receipts)
    )
    async with connect(roles.DISPATCH) as service, service.transaction():
        await service.execute("SELECT set_config('leo.tenant_id', $1, true)", str(tenant_id))
        row = await service.fetchrow(
            "SELECT reached, bounced, complained, failed FROM v_delivery_reached"
            " WHERE tenant_id = $1 AND delivery_id = $2",
            tenant_id,
            told.delivery_id,
        )
    assert tuple(row) == reached
