"""What a sealer's look costs does not grow with what is sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from uuid_utils.compat import uuid7

from libs.postgres import roles
from services.decision.sealer import sealer
from tests.contract.relay.test_plans import plan_of, rows_read

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conftest import Connect

ROW_COUNT = 20_000


@pytest.fixture
async def filled(connect: Connect, recorded: Any) -> UUID:
    """A tenant beside another one, with many entries, nearly all of them sealed."""
    tenant_id: UUID = recorded.tenant_id
    async with connect("postgres") as superuser:
        await superuser.execute(
            """
            WITH entry AS (
                INSERT INTO audit_entry (
                    tenant_id, entry_id, kind, actor, call_id, member_count, root, details
                )
                SELECT tenant_id, gen_random_uuid(), 'tried', 'a', '', 0, sha256('root'), '{}'
                FROM tenant CROSS JOIN generate_series(1, $1)
                RETURNING tenant_id, entry_id
            )
            INSERT INTO audit_seal (tenant_id, seq, entry_id, entry_digest, prev, hash)
            SELECT
                tenant_id, 1000 + row_number() OVER (PARTITION BY tenant_id), entry_id,
                sha256('digest'), sha256('prev'), sha256('hash')
            FROM entry
            """,
            ROW_COUNT,
        )
        await superuser.execute("UPDATE relay_watermark SET position = pg_current_xact_id()")
        for _ in range(5):
            await superuser.execute(
                "INSERT INTO audit_entry (tenant_id, entry_id, kind, actor, call_id, member_count,"
                " root, details) VALUES ($1, $2, 'tried', 'a', '', 0, sha256('root'), '{}')",
                tenant_id,
                uuid7(),
            )
        await superuser.execute("ANALYZE")
    return tenant_id


async def test_a_look_reads_only_in_front_of_the_watermark(filled: UUID, connect: Connect) -> None:
    async with connect(roles.DECISION) as connection, connection.transaction():
        await connection.fetchval("SELECT enter_tenant_v1($1, 5000)", filled)
        position = await connection.fetchval("SELECT position FROM relay_watermark")
        # In the order in which the statement names them.
        values = (f"'{filled}'", f"'{position}'", "1000")
        found = await plan_of(connection, sealer._QUERIES.select_unsealed.sql, *values)
    assert not [node for node in found if node["Node Type"] == "Seq Scan"]
    assert max(rows_read(node) for node in found) <= 10
    assert found[0]["Actual Rows"] == 5


@pytest.mark.parametrize("statement", ["find_tenants_to_seal", "find_heads"])
async def test_looking_for_tenants_reads_no_table_of_rows(
    filled: UUID, connect: Connect, statement: str
) -> None:
    async with connect(roles.FINDER) as connection:
        found = await plan_of(connection, getattr(sealer._QUERIES, statement).sql)
    scanned = {
        node["Relation Name"]: node["Node Type"] for node in found if "Relation Name" in node
    }
    for table in {"audit_entry", "audit_seal"} & scanned.keys():
        assert scanned[table] in {"Index Scan", "Index Only Scan"}, table
    assert max(rows_read(node) for node in found) <= 10


async def test_breaches_are_looked_for_in_front_of_the_watermark(
    filled: UUID, connect: Connect
) -> None:
    async with connect(roles.AUDITOR) as connection:
        found = await connection.fetch("SELECT * FROM ledger_seals_v1('0')")
        assert [row["tenant_id"] for row in found] == [filled] * 5
        body = await connection.fetchval(
            "SELECT prosrc FROM pg_proc WHERE proname = 'ledger_seals_v1'"
        )
        nodes = await plan_of(connection, body.replace("grace", "interval '0'"))
    assert not [
        node
        for node in nodes
        if node.get("Relation Name") == "audit_seal" and node["Node Type"] == "Seq Scan"
    ]
    assert max(rows_read(node) for node in nodes) <= 20
