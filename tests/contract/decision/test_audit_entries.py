"""ListAuditEntries: what an auditor of a tenant reads."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import SecretStr

from leo_sdk import ForbiddenError, InvalidError, timestamp
from libs.fields.paging import token_of
from libs.postgres import roles
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from services.decision.sealer import Sealer

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from leo.decision.v1 import decision_service_pb2 as pb
    from tests.contract.decision.client import Client
    from tests.contract.decision.world import World


@pytest.fixture
async def written(client: Client, world: World, campaign_id: str) -> World:
    """A tenant with seven entries: a campaign that acts, three rules, decisions in two batches."""
    await world.person("an")
    for name in ("a", "b", "c"):
        await client.create_rule(world.rule(campaign_id, name=name))
    await client.batch_activate([await world.event("an"), await world.event("nobody")])
    await client.activate_event(await world.event("an"))
    return world


async def paged(client: Client, page_size: int, **request: Any) -> list[pb.AuditEntry]:
    entries: list[pb.AuditEntry] = []
    token = ""
    while True:
        page = await client.list_audit_entries(page_size=page_size, page_token=token, **request)
        entries += page.entries
        token = page.next_page_token
        if not token:
            return entries
        assert len(page.entries) == page_size


async def test_entries_come_with_all_that_was_recorded_the_newest_first(
    client: Client, written: World
) -> None:
    entries = await paged(client, 50)
    kinds = [entry.kind for entry in entries]
    assert kinds == [
        *["decided"] * 2,
        *["rule_changed"] * 3,
        "campaign_state_changed",
        "campaign_created",
    ]
    stored = {
        str(row["entry_id"]): row for kind in set(kinds) for row in await written.entries(kind)
    }
    assert stored.keys() == {entry.entry_id for entry in entries}
    for entry in entries:
        row = stored[entry.entry_id]
        assert (entry.actor, entry.call_id, entry.root) == (
            row["actor"],
            row["call_id"],
            row["root"],
        )
        assert entry.recorded_table == (row["recorded_table"] or "")
        assert entry.member_count == row["member_count"]
        assert entry.create_time == timestamp(row["created_at"])
        # Nobody seals here.
        assert (entry.seq, entry.seal_hash) == (0, b"")
    assert entries[1].member_count == 4
    assert entries[2].details["version"] == 1


async def test_sealed_entries_tell_their_place(
    client: Client, written: World, dsn_of: Callable[[str], str]
) -> None:
    databases = [
        await Database.open(PostgresSettings(dsn=SecretStr(dsn_of(role))), application_name="test")
        for role in (roles.DECISION, roles.FINDER)
    ]
    await Sealer(*databases).look()
    for database in databases:
        await database.close()
    entries = await paged(client, 50)
    assert [entry.seq for entry in entries] == [7, 6, 5, 4, 3, 2, 1]
    assert len({entry.seal_hash for entry in entries}) == 7


async def test_pages_bring_every_entry_once(client: Client, written: World) -> None:
    everything = await paged(client, 500)
    for page_size in (1, 2, 6, 7, 8):
        assert await paged(client, page_size) == everything, page_size


async def test_filters_leave_out_the_others(client: Client, written: World) -> None:
    everything = await paged(client, 50)
    decided = await paged(client, 1, kind="decided")
    assert decided == everything[:2]
    assert await paged(client, 50, actor=everything[0].actor) == everything
    assert await paged(client, 50, actor="somebody else") == []
    first, last = everything[-1].create_time, everything[0].create_time
    assert await paged(client, 50, from_time=first, until_time=last) == everything[1:]
    later = timestamp(last.ToDatetime(tzinfo=None).astimezone() + timedelta(days=1))
    assert await paged(client, 50, from_time=later) == []


async def test_a_tenant_reads_its_own_entries_alone(
    client_for: Any, written: World, other_world: World
) -> None:
    other = await client_for(other_world.tenant_id)
    assert await paged(other, 50) == []


async def test_the_scope_is_asked_for(client_for: Any, tenant_id: UUID) -> None:
    client = await client_for(tenant_id, "leo.decisions.read")
    with pytest.raises(ForbiddenError) as refused:
        await client.list_audit_entries()
    assert refused.value.metadata["scope"] == "leo.audit.read"


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x"}, "page_token"),
        ({"page_token": token_of("2026-11-25T08:00:00", "x")}, "page_token"),
        ({"page_token": token_of("2026-11-25T08:00:00", "0" * 32)}, "page_token"),
        ({"page_token": token_of("a", "b", "c")}, "page_token"),
        ({"kind": "a\0"}, "kind"),
        ({"actor": "\0"}, "actor"),
        ({"from_time": Timestamp(seconds=2**60)}, "from_time"),
        ({"until_time": Timestamp(seconds=-(2**60))}, "until_time"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_name(
    client: Client, request_fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.list_audit_entries(**request_fields)
    assert refused.value.reason == "FIELD_INVALID"
    assert [violation.field for violation in refused.value.violations] == [field]
