"""A tenant sees and writes its own rows alone, everywhere; and each probe of it can fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from libs.postgres import roles
from tests.contract.database.rows import (
    EVENT_COUNT,
    FOUND_BY,
    PARTITIONS,
    TABLES,
    View,
    as_role,
    fill,
    look,
    refusal,
)

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conftest import Connect

FORBIDDEN = "42501"
READ_ONLY = "25006"
# Who may read which table; the owner is bound by the policies as everybody is.
_PEOPLE = {"tenant", "cdp_profiles", "cdp_profile_version", "profile_consent"}
_SNAPSHOTS = {"segment_snapshot", "segment_snapshot_member"}
_DELIVERIES = {"delivery_log", "delivery_attempt", "delivery_receipt"}
READERS = {
    roles.INGEST: {
        *_PEOPLE,
        "marketing_event",
        "profile_consent_version",
        "decision",
        "relay_watermark",
    },
    roles.SEGMENT: {*_PEOPLE, *_SNAPSHOTS, "segment"},
    roles.DECISION: {
        *_PEOPLE,
        *_SNAPSHOTS,
        *_DELIVERIES,
        "marketing_event",
        "segment",
        "campaign",
        "activation_rule",
        "activation_rule_version",
        "rule_set",
        "campaign_launch",
        "agent_task",
        "decision",
        "relay_watermark",
        "message_template",
        "channel_account",
        "audit_entry",
        "audit_seal",
    },
    roles.DISPATCH: {
        *_PEOPLE,
        *_SNAPSHOTS,
        *_DELIVERIES,
        "campaign_launch",
        "marketing_event",
        "decision",
        "message_template",
        "channel_account",
    },
    roles.OWNER: set(TABLES) | set(PARTITIONS),
}
READS = [(role, table) for role, tables in READERS.items() for table in sorted(tables)]
MUTATIONS = {
    "open": "ALTER POLICY tenant_isolation ON {} USING (true) WITH CHECK (true)",
    "gone": "DROP POLICY tenant_isolation ON {}",
    "disabled": "ALTER TABLE {} DISABLE ROW LEVEL SECURITY",
    "not forced": "ALTER TABLE {} NO FORCE ROW LEVEL SECURITY",
}


def is_isolated(view: View) -> bool:
    return view.own_count > 0 and view.other_count == 0 and view.insert_for_other == FORBIDDEN


@pytest.mark.parametrize(("role", "table"), READS)
async def test_tenant_sees_and_writes_its_own_rows_alone(
    superuser: Any, two_tenants: tuple[UUID, UUID], role: str, table: str
) -> None:
    own, other = two_tenants
    assert is_isolated(await look(superuser, table, role=role, own=own, other=other))


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("table", [*TABLES, *PARTITIONS])
async def test_probe_fails_without_the_policy(
    superuser: Any, two_tenants: tuple[UUID, UUID], table: str, mutation: str
) -> None:
    own, other = two_tenants
    transaction = superuser.transaction()
    await transaction.start()
    try:
        await superuser.execute(MUTATIONS[mutation].format(table))
        view = await look(superuser, table, role=roles.OWNER, own=own, other=other)
    finally:
        await transaction.rollback()
    assert not is_isolated(view)


@pytest.mark.parametrize("context", [None, ""])
@pytest.mark.parametrize(("role", "table"), READS)
async def test_without_a_tenant_there_are_no_rows_and_no_error(
    superuser: Any, two_tenants: tuple[UUID, UUID], role: str, table: str, context: str | None
) -> None:
    (count,) = await as_role(superuser, role, f"SELECT count(*) FROM {table}", context=context)
    assert count == 0


@pytest.mark.parametrize("role", [*roles.SERVICE_ROLES, roles.FINDER])
async def test_role_reads_nothing_but_what_it_is_granted(superuser: Any, role: str) -> None:
    for table in {*TABLES, *PARTITIONS} - READERS.get(role, set(FOUND_BY)):
        assert await refusal(superuser, role, f"SELECT FROM {table}") == FORBIDDEN, table


async def test_platform_sees_every_tenant_and_nothing_of_any(
    superuser: Any, two_tenants: tuple[UUID, UUID], connect: Connect
) -> None:
    async with connect(roles.INGEST) as ingest:
        async with ingest.transaction():
            await ingest.fetchval("SELECT enter_platform_v1()")
            found = {row["tenant_id"] for row in await ingest.fetch("SELECT * FROM tenant")}
            assert found >= set(two_tenants)
            assert await ingest.execute("UPDATE tenant SET state = 'suspended'") == "UPDATE 0"
            for table in READERS[roles.INGEST] - {"tenant"}:
                assert await ingest.fetchval(f"SELECT count(*) FROM {table}") == 0, table
        assert await ingest.fetchval("SELECT count(*) FROM tenant") == 0


@pytest.mark.parametrize("role", [*roles.SERVICE_ROLES, roles.OWNER, roles.ERASER])
async def test_nobody_but_ingest_is_shown_the_platform(
    superuser: Any, two_tenants: tuple[UUID, UUID], role: str
) -> None:
    transaction = superuser.transaction()
    await transaction.start()
    try:
        await superuser.execute("SELECT set_config('leo.platform', 'on', true)")
        await superuser.execute(f"SET LOCAL ROLE {role}")
        count = await superuser.fetchval("SELECT count(*) FROM tenant")
    finally:
        await transaction.rollback()
    assert (count >= 2) == (role == roles.INGEST)
    assert role == roles.INGEST or count == 0


@pytest.mark.parametrize("table", FOUND_BY)
async def test_finder_sees_of_every_tenant_what_work_is_found_by_and_nothing_else(
    superuser: Any, two_tenants: tuple[UUID, UUID], table: str
) -> None:
    counted = await as_role(
        superuser,
        roles.FINDER,
        f"SELECT count(DISTINCT tenant_id) FROM {table}"
        f" WHERE tenant_id IN ('{two_tenants[0]}', '{two_tenants[1]}')",
    )
    assert counted[0] == 2
    columns = await superuser.fetch(
        "SELECT attname, has_column_privilege($1, attrelid, attnum, 'SELECT') AS seen,"
        " has_column_privilege($1, attrelid, attnum, 'INSERT, UPDATE') AS written"
        " FROM pg_attribute WHERE attrelid = $2::regclass AND attnum > 0",
        roles.FINDER,
        table,
    )
    assert {row["attname"] for row in columns if row["seen"]} == FOUND_BY[table]
    assert not any(row["written"] for row in columns)


@pytest.mark.parametrize("table", TABLES)
async def test_auditor_sees_every_tenant_and_writes_nothing(
    superuser: Any, two_tenants: tuple[UUID, UUID], table: str
) -> None:
    counted = await as_role(
        superuser,
        roles.AUDITOR,
        f"SELECT count(*) FROM {table} WHERE tenant_id IN ('{two_tenants[0]}', '{two_tenants[1]}')",
    )
    assert counted[0] == 2 * (EVENT_COUNT if table == "marketing_event" else 1)
    for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET tenant_id = tenant_id"):
        assert await refusal(superuser, roles.AUDITOR, statement) == FORBIDDEN


async def test_sessions_of_the_auditor_are_read_only(connect: Connect) -> None:
    async with connect(roles.AUDITOR) as auditor:
        assert await auditor.fetchval("SHOW default_transaction_read_only") == "on"


async def test_setting_stays_empty_after_the_transaction_that_set_it(
    connect: Connect, superuser: Any
) -> None:
    tenant_id = await fill(superuser)
    async with connect(roles.INGEST) as service:
        async with service.transaction():
            assert await service.fetchval("SELECT enter_tenant_v1($1, 1000)", tenant_id) == "active"
            assert await service.fetchval("SELECT count(*) FROM tenant") == 1
            assert await service.fetchval("SHOW statement_timeout") == "1s"
        assert await service.fetchval("SELECT current_setting('leo.tenant_id', true)") == ""
        assert await service.fetchval("SHOW statement_timeout") == "0"
        assert await service.fetchval("SELECT count(*) FROM tenant") == 0
