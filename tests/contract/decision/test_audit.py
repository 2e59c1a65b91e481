"""What the audit's hashes cover: every stored decision, as it stands in its columns."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from leo.decision.v1 import decision_service_pb2 as pb
from libs import audit
from tests.contract.decision.audit import broken_entries, leaf_of_stored
from tests.contract.decision.world import hours

if TYPE_CHECKING:
    from uuid import UUID

    from tests.contract.decision.client import Client
    from tests.contract.decision.world import World


@pytest.fixture
async def decided(client: Client, world: World) -> World:
    """A tenant with decisions of many kinds, about values that JSON is easily wrong about."""
    await world.person(
        "an",
        lifetime_value_vnd=2**63 - 1,
        churn_score=0.1,
        attributes='{"tier": "bạch kim 💎", "points": 9007199254740991, "rate": 1e-7}',
    )
    await world.person("binh", consents=[], churn_score=1.0)
    campaign_id = await client.active_campaign()
    condition = (
        "profile.lifetime_value_vnd >= 0 && profile.churn_score > 0.0"
        ' && profile.attributes.tier != "x" && profile.attributes.points > 1'
        " && profile.attributes.rate < 1 && event.properties.amount < 1e300"
        " && now > event.time"
    )
    await client.create_rule(
        world.rule(
            campaign_id,
            name="a",
            condition=condition,
            cooldown=hours(8784),
            quiet_hours=pb.QuietHours(start="00:00", end="23:59"),
        )
    )
    await client.create_rule(world.rule(campaign_id, name="b", hold_out_percent=50))
    amounts = (0.1, 1e-7, 3.0, -0.0, 5, 1e15, 0.30000000000000004, 123456789.125)
    events = [await world.event("an", amount=amount) for amount in amounts]
    events += [await world.event(ext_id) for ext_id in ("binh", "nobody")]
    await client.batch_activate(events)
    for _ in range(3):
        await client.activate_event(await world.event("binh"))
    return world


async def test_every_entry_is_borne_out_by_its_rows(decided: World, auditor: Any) -> None:
    entries = await decided.entries("decided")
    assert [entry["member_count"] for entry in entries] == [18, 1, 1, 1]
    assert {entry["recorded_table"] for entry in entries} == {"decision"}
    assert await broken_entries(auditor, decided.tenant_id) == []


async def test_the_entry_says_who_asked(decided: World) -> None:
    for entry in await decided.entries("decided"):
        assert entry["actor"]
        assert entry["call_id"]
        assert entry["details"] == "{}"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("decision_id", "01993d00-0000-7000-8000-000000000001"),
        ("profile_version", 9),
        ("rule_set_version", 9),
        ("rule_version", 9),
        ("outcome", "expired"),
        ("reason", "khác"),
        ("not_before", None),
        ("expires_at", None),
        ("cooldown", timedelta(1)),
        ("choices", "[]"),
        ("inputs", "{}"),
        ("salt", bytes(16)),
    ],
)
async def test_a_changed_column_is_found(
    decided: World, auditor: Any, column: str, value: object
) -> None:
    (entry, *_) = await decided.entries("decided")
    members = [
        dict(row)
        for row in await auditor.fetch(
            "SELECT * FROM decision WHERE audit_entry_id = $1 ORDER BY leaf_no", entry["entry_id"]
        )
    ]
    assert audit.root([leaf_of_stored(member) for member in members]) == entry["root"]
    (changed,) = [
        member for member in members if member["outcome"] == "acted" and member["cooldown"]
    ]
    assert changed[column] is not None or column == "not_before"
    if changed[column] == value:
        value = changed["decided_at"]
    changed[column] = value
    assert audit.root([leaf_of_stored(member) for member in members]) != entry["root"]


async def test_a_decision_that_somebody_adds_is_found(
    decided: World, auditor: Any, connect: Any
) -> None:
    (entry, *_) = await decided.entries("decided")
    entry_id: UUID = entry["entry_id"]
    async with connect("postgres") as superuser:
        await superuser.execute(
            "INSERT INTO decision (tenant_id, decision_id, trigger_kind, trigger_id, ordinal,"
            " rule_set_version, outcome, reason, inputs, audit_entry_id, leaf_no, salt)"
            " VALUES ($1, gen_random_uuid(), 'event', gen_random_uuid(), 0, 1, 'no_rule', '',"
            " '{}', $2, 18, '')",
            decided.tenant_id,
            entry_id,
        )
    assert await broken_entries(auditor, decided.tenant_id) == [entry_id]
