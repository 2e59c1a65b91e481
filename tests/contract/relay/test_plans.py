"""What a look costs does not grow with what has been handed over before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from libs.postgres import roles
from libs.relay import ACTIVATE, DISPATCH, Hop
from tests.contract.relay.rows import insert_decisions, insert_deliveries, insert_events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from tests.conftest import Connect, CreateTenant

ROW_COUNT = 20_000


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def rows_read(node: dict[str, Any]) -> float:
    removed = node.get("Rows Removed by Filter", 0)
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])


@pytest.fixture
async def filled(create_tenant: CreateTenant, superuser: Any) -> UUID:
    """A tenant beside another one, both with everything handed over."""
    tenant_id = None
    for _ in range(2):
        tenant_id = await create_tenant()
        events = await insert_events(superuser, tenant_id, ROW_COUNT)
        decisions = await insert_decisions(superuser, tenant_id, events, outcome="acted")
        await insert_deliveries(superuser, tenant_id, decisions)
        for hop in ("activate", "dispatch"):
            await superuser.execute(
                "INSERT INTO relay_watermark SELECT $1, $2, pg_current_xact_id()", tenant_id, hop
            )
    await superuser.execute("ANALYZE")
    assert tenant_id is not None
    return tenant_id


async def plan_of(connection: Any, statement: str, *values: str) -> list[dict[str, Any]]:
    """Its nodes, as the server plans it when it knows no value."""
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE looked_at AS {statement}")
    execute = f"EXECUTE looked_at({', '.join(values)})" if values else "EXECUTE looked_at"
    (row,) = await connection.fetchrow(f"EXPLAIN (ANALYZE, FORMAT JSON) {execute}")
    return list(nodes(json.loads(row)[0]["Plan"]))


@pytest.mark.parametrize(
    ("role", "hop"), [(roles.INGEST, ACTIVATE), (roles.DECISION, DISPATCH)], ids=("first", "second")
)
async def test_a_look_reads_only_in_front_of_the_watermark(
    filled: UUID, superuser: Any, connect: Connect, role: str, hop: Hop
) -> None:
    recent = await insert_events(superuser, filled, 10)
    await insert_decisions(superuser, filled, recent, outcome="acted")
    position = await superuser.fetchval(
        "SELECT position FROM relay_watermark WHERE tenant_id = $1 AND hop = $2", filled, hop.name
    )
    # In the order in which the statement names them.
    values = ("'0s'", f"'{filled}'", f"'{position}'", "500")
    async with connect(role) as connection, connection.transaction():
        await connection.fetchval("SELECT enter_tenant_v1($1, 5000)", filled)
        found = await plan_of(connection, hop.select_missing.sql, *values)
    assert not [node["Node Type"] for node in found if node["Node Type"] == "Seq Scan"]
    assert max(rows_read(node) for node in found) <= 20


@pytest.mark.parametrize("hop", [ACTIVATE, DISPATCH], ids=lambda hop: hop.name)
async def test_looking_for_tenants_reads_no_table_of_rows(
    filled: UUID, connect: Connect, hop: Hop
) -> None:
    async with connect(roles.FINDER) as connection:
        found = await plan_of(connection, hop.find_tenants.sql)
    scanned = {
        node["Relation Name"]: node["Node Type"] for node in found if "Relation Name" in node
    }
    for table, how in scanned.items():
        if table.startswith(("marketing_event", "decision")):
            assert how in {"Index Scan", "Index Only Scan"}, table
    assert max(rows_read(node) for node in found) <= 20
