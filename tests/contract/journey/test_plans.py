"""A journey is read by indexes alone, whoever asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from libs.postgres import roles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from libs.embedded import EmbeddedPostgres
    from tests.conftest import Connect, NewDatabase

# A few hundred rows of a tenant that nothing but people's work adds to.
SMALL = {"tenant", "campaign", "activation_rule", "message_template"}
QUESTIONS = {
    "of an event": (
        "SELECT * FROM v_journey WHERE tenant_id = md5('t1')::uuid"
        " AND event_id = md5('e7')::uuid ORDER BY at, rank"
    ),
    "of a person": (
        "SELECT * FROM v_journey WHERE tenant_id = md5('t1')::uuid"
        " AND profile_id = md5('p7')::uuid ORDER BY at, rank"
    ),
    "of a person in a launch": (
        "SELECT * FROM v_journey WHERE tenant_id = md5('t1')::uuid"
        " AND launch_id = md5('n1')::uuid AND profile_id = md5('p7')::uuid ORDER BY at, rank"
    ),
    "how far it got": (
        "SELECT * FROM v_delivery_reached WHERE tenant_id = md5('t1')::uuid"
        " AND delivery_id = ANY(ARRAY[md5('l7')::uuid, md5('l8')::uuid])"
    ),
}
ROWS = {"of an event": 7, "of a person": 62, "of a person in a launch": 6, "how far it got": 2}


@pytest.fixture(scope="module")
async def database_name(
    postgres: EmbeddedPostgres, new_database: NewDatabase
) -> AsyncIterator[str]:
    async with new_database() as name:
        superuser = await asyncpg.connect(postgres.superuser_dsn(name))
        await superuser.execute(Path(__file__).with_name("many.sql").read_text(encoding="utf-8"))
        # Into the visibility map, as a database that has run for a while is.
        await superuser.execute("VACUUM")
        await superuser.close()
        yield name


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


@pytest.mark.parametrize("role", [roles.AUDITOR, roles.DECISION])
@pytest.mark.parametrize("question", QUESTIONS)
async def test_question_is_answered_by_indexes(connect: Connect, role: str, question: str) -> None:
    async with connect(role) as connection, connection.transaction():
        await connection.execute("SELECT set_config('leo.tenant_id', md5('t1')::uuid::text, true)")
        found = await connection.fetchval(
            f"EXPLAIN (ANALYZE, TIMING off, FORMAT json) {QUESTIONS[question]}"
        )
    (explained,) = json.loads(found)
    assert explained["Plan"]["Actual Rows"] == ROWS[question]
    read = [node for node in nodes(explained["Plan"]) if "Relation Name" in node]
    assert {node["Relation Name"] for node in read} >= {"delivery_log", "delivery_receipt"}
    scans = {
        node["Relation Name"]
        for node in read
        if "Index" not in node["Node Type"] and "Bitmap Heap" not in node["Node Type"]
    }
    assert scans <= SMALL
    # An index that is read from end to end is a scan by another name.
    for node in read:
        assert node["Actual Rows"] < 500, node
        assert node.get("Index Cond") or node.get("Recheck Cond") or node["Relation Name"] in SMALL


async def test_the_ledgers_parts_run_in_processes_of_their_own(connect: Connect) -> None:
    async with connect(roles.AUDITOR) as auditor:
        body = await auditor.fetchval(
            "SELECT prosrc FROM pg_proc WHERE oid = 'ledger_breach(interval)'::regprocedure"
        )
        found = await auditor.fetchval(
            f"EXPLAIN (FORMAT json) {body.replace('grace', 'interval $$0$$')}"
        )
    (explained,) = json.loads(found)
    parts = [
        node
        for node in nodes(explained["Plan"])
        if node["Node Type"] == "Append" and node["Parallel Aware"]
    ]
    assert len(parts) == 1
    assert len(parts[0]["Plans"]) > 5
