"""The ledger: healthy books show nothing, and each equation that is broken shows exactly itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from uuid_utils.compat import uuid7

from libs.postgres import roles
from tests.contract.journey.stories import HEALTHY, START, History, Teller, Told, attempt

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conftest import Connect

ALL_AT_ONCE = timedelta()
ACCEPTED = HEALTHY["was accepted"]

Plant = Callable[[Teller, "UUID"], Awaitable[object]]
PLANTS: dict[str, tuple[str, Plant]] = {}


def breaks(equation: str) -> Callable[[Plant], Plant]:
    """Register a planted breach; it returns the id of the row that the ledger must name."""

    def register(plant: Plant) -> Plant:
        PLANTS[plant.__name__] = (equation, plant)
        return plant

    return register


async def breaches(connection: Any, grace: timedelta = ALL_AT_ONCE) -> list[tuple[str, Any, Any]]:
    rows = await connection.fetch(
        "SELECT equation, tenant_id, subject_id, detail FROM ledger_breach($1)", grace
    )
    assert all(row["detail"] for row in rows)
    return [(row["equation"], row["tenant_id"], row["subject_id"]) for row in rows]


@breaks("A1")
async def event_without_a_decision(teller: Teller, tenant_id: UUID) -> object:
    return await teller.event(tenant_id, profile_id=await teller.profile(tenant_id))


@breaks("A2")
async def acting_decision_without_a_delivery(teller: Teller, tenant_id: UUID) -> object:
    return (await teller.acted(tenant_id)).decision_id


@breaks("A2")
async def delivery_of_a_decision_that_does_not_act(teller: Teller, tenant_id: UUID) -> object:
    profile_id = await teller.profile(tenant_id)
    event_id = await teller.event(tenant_id, profile_id=profile_id)
    decision_id = await teller.decision(
        tenant_id, event_id, profile_id=profile_id, outcome="no_consent"
    )
    told = Told(
        tenant_id=tenant_id, profile_id=profile_id, event_id=event_id, decision_id=decision_id
    )
    return await teller.delivery(told, ACCEPTED)


@breaks("A2")
async def delivery_without_a_decision(teller: Teller, tenant_id: UUID) -> object:
    await teller.run(
        "ALTER TABLE delivery_log DROP CONSTRAINT delivery_log_tenant_id_decision_id_fkey"
    )
    told = await teller.story(tenant_id, ACCEPTED)
    told.decision_id = uuid7()
    return await teller.delivery(told, ACCEPTED)


@breaks("A2")
async def two_choices_open_at_once(teller: Teller, tenant_id: UUID) -> object:
    told = await teller.story(tenant_id, HEALTHY["is in doubt"])
    await teller.delivery(told, HEALTHY["waits"], choice=1)
    return told.decision_id


@breaks("A2")
async def choice_after_one_that_was_accepted(teller: Teller, tenant_id: UUID) -> object:
    told = await teller.story(tenant_id, ACCEPTED)
    await teller.delivery(told, HEALTHY["was refused"], choice=1)
    return told.decision_id


@breaks("A2")
async def choice_after_one_that_somebody_stopped(teller: Teller, tenant_id: UUID) -> object:
    told = await teller.story(tenant_id, HEALTHY["was cancelled"])
    await teller.delivery(told, ACCEPTED, choice=1)
    return told.decision_id


@breaks("A2")
async def choice_after_one_that_a_person_must_look_at(teller: Teller, tenant_id: UUID) -> object:
    told = await teller.story(tenant_id, HEALTHY["was refused"])
    await teller.delivery(told, HEALTHY["cannot be rendered"], choice=1)
    await teller.delivery(told, HEALTHY["was suppressed"], choice=2)
    return told.decision_id


@breaks("A2")
async def attempt_without_a_delivery(teller: Teller, tenant_id: UUID) -> object:
    await teller.run(
        "ALTER TABLE delivery_attempt DROP CONSTRAINT delivery_attempt_tenant_id_delivery_id_fkey"
    )
    delivery_id = uuid7()
    for row in attempt(1, "accepted"):
        await teller.attempt_row(tenant_id, delivery_id, row)
    return delivery_id


@breaks("A2")
async def receipt_without_its_delivery(teller: Teller, tenant_id: UUID) -> object:
    told = await teller.story(tenant_id, ACCEPTED)
    return await teller.receipt(told, uuid7(), "delivered")


@breaks("A3")
async def delivery_in_the_air(teller: Teller, tenant_id: UUID) -> object:
    told = await teller.story(
        tenant_id, History(state="sending", attempts=[(1, "intent", 1, None)])
    )
    return told.delivery_id


@breaks("A3")
async def delivery_due_and_not_taken_up(teller: Teller, tenant_id: UUID) -> object:
    return (await teller.story(tenant_id, HEALTHY["waits"], due_at=START)).delivery_id


@breaks("A6")
async def acceptance_that_nobody_gave(teller: Teller, tenant_id: UUID) -> object:
    history = History(state="accepted", attempts=attempt(1, "rejected"))
    return (await teller.story(tenant_id, history)).delivery_id


@breaks("A6")
async def acceptance_that_the_provider_took_back(teller: Teller, tenant_id: UUID) -> object:
    history = History(state="accepted", attempts=attempt(1, "unknown"), receipts=["failed"])
    return (await teller.story(tenant_id, history)).delivery_id


@breaks("A6")
async def failure_of_what_was_accepted(teller: Teller, tenant_id: UUID) -> object:
    history = History(state="failed", attempts=attempt(1, "accepted"))
    return (await teller.story(tenant_id, history)).delivery_id


@breaks("A6")
async def failure_that_erases_a_doubt(teller: Teller, tenant_id: UUID) -> object:
    history = History(state="failed", attempts=[*attempt(1, "unknown"), *attempt(2, "rejected")])
    return (await teller.story(tenant_id, history)).delivery_id


@breaks("A6")
async def failure_of_an_open_attempt(teller: Teller, tenant_id: UUID) -> object:
    history = History(state="failed", attempts=[(1, "intent", 1, None)])
    return (await teller.story(tenant_id, history)).delivery_id


@breaks("A6")
async def expiry_of_an_open_attempt(teller: Teller, tenant_id: UUID) -> object:
    history = History(state="expired", attempts=[(1, "intent", 1, None)])
    return (await teller.story(tenant_id, history)).delivery_id


@breaks("A6")
async def suppression_in_spite_of_a_doubt(teller: Teller, tenant_id: UUID) -> object:
    history = History(state="suppressed", attempts=attempt(1, "unknown"))
    return (await teller.story(tenant_id, history)).delivery_id


@breaks("A6")
async def failure_that_a_receipt_denies(teller: Teller, tenant_id: UUID) -> object:
    history = History(state="failed", attempts=attempt(1, "rejected"), receipts=["read"])
    return (await teller.story(tenant_id, history)).delivery_id


@breaks("A6")
async def late_acceptance_that_is_not_merged(teller: Teller, tenant_id: UUID) -> object:
    history = History(
        state="outcome_unknown", attempts=[*attempt(1, "unknown"), (1, "late", 1, "accepted")]
    )
    return (await teller.story(tenant_id, history)).delivery_id


@breaks("A6")
async def doubt_about_nothing(teller: Teller, tenant_id: UUID) -> object:
    history = History(state="outcome_unknown", attempts=attempt(1, "rejected"))
    return (await teller.story(tenant_id, history)).delivery_id


@breaks("A7")
async def wait_with_an_open_attempt(teller: Teller, tenant_id: UUID) -> object:
    history = History(state="retry_wait", attempts=[(1, "intent", 1, None)])
    return (await teller.story(tenant_id, history)).delivery_id


@breaks("A7")
async def attempt_that_is_not_counted(teller: Teller, tenant_id: UUID) -> object:
    return (await teller.story(tenant_id, ACCEPTED, attempt_count=2)).delivery_id


@breaks("A7")
async def second_result_of_an_attempt(teller: Teller, tenant_id: UUID) -> object:
    await teller.run("ALTER TABLE delivery_attempt DROP CONSTRAINT delivery_attempt_pkey")
    told = await teller.story(tenant_id, ACCEPTED)
    assert told.delivery_id is not None
    await teller.attempt_row(tenant_id, told.delivery_id, (1, "result", 1, "accepted"))
    return told.delivery_id


@breaks("A7")
async def result_without_an_intent(teller: Teller, tenant_id: UUID) -> object:
    told = await teller.story(tenant_id, ACCEPTED)
    await teller.run("ALTER TABLE delivery_attempt DISABLE TRIGGER append_only")
    await teller.run_as_migrate(
        "DELETE FROM delivery_attempt WHERE delivery_id = $1 AND phase = 'intent'",
        told.delivery_id,
    )
    return told.delivery_id


@breaks("A7")
async def late_result_that_corrects_nothing(teller: Teller, tenant_id: UUID) -> object:
    history = History(
        state="accepted", attempts=[*attempt(1, "accepted"), (1, "late", 1, "accepted")]
    )
    return (await teller.story(tenant_id, history)).delivery_id


@breaks("A8")
async def cooldown_that_was_not_kept(teller: Teller, tenant_id: UUID) -> object:
    told = await teller.story(tenant_id, ACCEPTED)
    told.event_id = await teller.event(tenant_id, profile_id=told.profile_id)
    told.decision_id = await teller.decision(
        tenant_id,
        told.event_id,
        profile_id=told.profile_id,
        cooldown=timedelta(hours=1),
        decided_at=START + timedelta(minutes=59),
    )
    await teller.delivery(told, ACCEPTED)
    return told.decision_id


@breaks("A11")
async def decision_on_the_event_of_another_tenant(teller: Teller, tenant_id: UUID) -> object:
    other = await teller.story(await teller.tenant(), ACCEPTED)
    told = await teller.story(tenant_id, ACCEPTED)
    told.decision_id = await teller.decision(tenant_id, other.event_id, profile_id=told.profile_id)
    await teller.delivery(told, ACCEPTED)
    return told.decision_id


@breaks("A11")
async def delivery_of_the_decision_of_another_tenant(teller: Teller, tenant_id: UUID) -> object:
    await teller.run(
        "ALTER TABLE delivery_log DROP CONSTRAINT delivery_log_tenant_id_decision_id_fkey"
    )
    other = await teller.story(await teller.tenant(), ACCEPTED)
    told = await teller.story(tenant_id, ACCEPTED)
    told.decision_id = other.decision_id
    return await teller.delivery(told, ACCEPTED)


@breaks("A11")
async def attempt_for_the_delivery_of_another_tenant(teller: Teller, tenant_id: UUID) -> object:
    await teller.run(
        "ALTER TABLE delivery_attempt DROP CONSTRAINT delivery_attempt_tenant_id_delivery_id_fkey"
    )
    other = await teller.story(await teller.tenant(), ACCEPTED)
    assert other.delivery_id is not None
    for row in attempt(1, "accepted"):
        await teller.attempt_row(tenant_id, other.delivery_id, row)
    return other.delivery_id


@breaks("A11")
async def receipt_for_the_delivery_of_another_tenant(teller: Teller, tenant_id: UUID) -> object:
    other = await teller.story(await teller.tenant(), ACCEPTED)
    told = await teller.story(tenant_id, ACCEPTED)
    assert other.delivery_id is not None
    return await teller.receipt(told, other.delivery_id, "delivered")


@breaks("A14")
async def gap_between_attempts(teller: Teller, tenant_id: UUID) -> object:
    history = History(state="accepted", attempts=[*attempt(1, "retry_at"), *attempt(3, "accepted")])
    return (await teller.story(tenant_id, history)).delivery_id


@breaks("A14")
async def attempt_after_a_final_answer(teller: Teller, tenant_id: UUID) -> object:
    history = History(state="accepted", attempts=[*attempt(1, "accepted"), *attempt(2, "retry_at")])
    return (await teller.story(tenant_id, history)).delivery_id


@breaks("A14")
async def attempt_beside_an_open_one(teller: Teller, tenant_id: UUID) -> object:
    history = History(
        state="sending",
        attempts=[
            (1, "intent", 1, None),
            *attempt(2, "retry_at"),
        ],
    )
    now = datetime.now(UTC)
    return (await teller.story(tenant_id, history, updated_at=now)).delivery_id


@breaks("A14")
async def epoch_that_does_not_rise(teller: Teller, tenant_id: UUID) -> object:
    history = History(
        state="accepted",
        attempts=[*attempt(1, "retry_at", epoch=2), *attempt(2, "accepted", epoch=2)],
    )
    return (await teller.story(tenant_id, history)).delivery_id


@breaks("A14")
async def result_of_an_earlier_epoch(teller: Teller, tenant_id: UUID) -> object:
    history = History(
        state="accepted", attempts=[(1, "intent", 2, None), (1, "result", 1, "accepted")]
    )
    return (await teller.story(tenant_id, history)).delivery_id


@breaks("A17")
async def member_of_a_finished_launch_whom_nothing_is_decided_about(
    teller: Teller, tenant_id: UUID
) -> object:
    people = [await teller.profile(tenant_id) for _ in range(2)]
    launch_id = await teller.launch(tenant_id, people)
    await teller.decision(
        tenant_id, launch_id, profile_id=people[0], trigger_kind="launch", outcome="hold_out"
    )
    return launch_id


@breaks("A17")
async def more_decisions_than_members(teller: Teller, tenant_id: UUID) -> object:
    launch_id = await teller.launch(tenant_id, [])
    for ordinal in range(2):
        await teller.decision(
            tenant_id,
            launch_id,
            profile_id=await teller.profile(tenant_id),
            trigger_kind="launch",
            ordinal=ordinal,
            outcome="hold_out",
        )
    return launch_id


@breaks("A17")
async def decision_of_a_launch_that_is_not_there(teller: Teller, tenant_id: UUID) -> object:
    launch_id = uuid7()
    await teller.decision(
        tenant_id,
        launch_id,
        profile_id=await teller.profile(tenant_id),
        trigger_kind="launch",
        outcome="hold_out",
    )
    return launch_id


@pytest.mark.parametrize("name", PLANTS)
async def test_planted_breach_is_the_only_one_that_the_auditor_sees(
    teller: Teller, connect: Connect, tenant_id: UUID, name: str
) -> None:
    equation, plant = PLANTS[name]
    await teller.healthy(tenant_id)
    subject_id = await plant(teller, tenant_id)
    async with connect(roles.AUDITOR) as auditor:
        seen = await auditor.fetch("SELECT equation, tenant_id, subject_id FROM v_ledger_breach")
    assert {tuple(row) for row in seen} == {(equation, tenant_id, subject_id)}


def test_every_equation_that_sql_can_check_has_a_planted_breach() -> None:
    assert {equation for equation, _ in PLANTS.values()} == {
        "A1",
        "A2",
        "A3",
        "A6",
        "A7",
        "A8",
        "A11",
        "A14",
        "A17",
    }


async def test_healthy_books_show_nothing_to_auditor_and_services(
    teller: Teller, connect: Connect
) -> None:
    tenants = [await teller.tenant(), await teller.tenant()]
    for tenant in tenants:
        await teller.healthy(tenant)
    async with connect(roles.AUDITOR) as auditor:
        assert await breaches(auditor) == []
        assert await auditor.fetch("SELECT * FROM v_ledger_breach") == []
        # What is empty has looked at something.
        assert await auditor.fetchval("SELECT count(*) FROM delivery_attempt") > 2 * len(HEALTHY)
        states = await auditor.fetch("SELECT DISTINCT state FROM delivery_log")
    assert {row["state"] for row in states} == {history.state for history in HEALTHY.values()}


@pytest.mark.parametrize("role", [roles.DECISION, roles.DISPATCH])
async def test_service_sees_the_breaches_of_its_tenant_alone(
    teller: Teller, connect: Connect, role: str
) -> None:
    own, other = await teller.tenant(), await teller.tenant()
    for tenant in (own, other):
        await teller.healthy(tenant)
    mine = (await teller.acted(own)).decision_id
    await teller.acted(other)
    async with connect(role) as service, service.transaction():
        assert await breaches(service) == []
        await service.execute("SELECT set_config('leo.tenant_id', $1, true)", str(own))
        assert await breaches(service) == [("A2", own, mine)]


async def test_what_is_younger_than_the_grace_is_no_breach(
    teller: Teller, connect: Connect, tenant_id: UUID
) -> None:
    now = datetime.now(UTC)
    profile_id = await teller.profile(tenant_id)
    fresh = await teller.event(tenant_id, profile_id=profile_id, received_at=now)
    event_id = await teller.event(tenant_id, profile_id=profile_id)
    undelivered = await teller.decision(tenant_id, event_id, profile_id=profile_id, decided_at=now)
    sending = await teller.story(
        tenant_id, History(state="sending", attempts=[(1, "intent", 1, None)]), updated_at=now
    )
    due = await teller.story(tenant_id, HEALTHY["waits"], due_at=now)
    async with connect(roles.AUDITOR) as auditor:
        assert await breaches(auditor, timedelta(hours=1)) == []
        assert set(await breaches(auditor)) == {
            ("A1", tenant_id, fresh),
            ("A2", tenant_id, undelivered),
            ("A3", tenant_id, sending.delivery_id),
            ("A3", tenant_id, due.delivery_id),
        }


async def test_what_waits_for_a_person_to_look_after_its_account_is_at_rest(
    teller: Teller, connect: Connect, tenant_id: UUID
) -> None:
    await teller.story(tenant_id, HEALTHY["waits"], due_at=START)
    async with connect(roles.AUDITOR) as auditor:
        assert [equation for equation, *_ in await breaches(auditor)] == ["A3"]
        await teller.run_as_migrate(
            "UPDATE channel_account SET paused_reason = 'token expired' WHERE tenant_id = $1",
            tenant_id,
        )
        assert await breaches(auditor) == []


async def test_ledger_is_for_auditor_decision_and_dispatch_alone(
    teller: Teller, connect: Connect
) -> None:
    for role in (roles.INGEST, roles.SEGMENT, roles.FINDER):
        async with connect(role) as service:
            for what in ("v_ledger_breach", "v_journey"):
                assert not await service.fetchval("SELECT has_table_privilege($1, 'SELECT')", what)
            assert not await service.fetchval(
                "SELECT has_function_privilege('ledger_breach(interval)', 'EXECUTE')"
            )
