"""A verification joins whole tables, whatever the server believes about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from libs.audit.verify.reading import QUERIES, WHOLE_TABLES, copied, snapshot_of
from libs.postgres import roles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Connect
    from tests.contract.audit.site import Recorded, Site

ENTRY_COUNT = 1_000
DEALT = (None, None, 1, 0)
STATEMENTS: dict[str, tuple[object, ...]] = {
    "entries": DEALT,
    "decision": DEALT,
    "delivery_attempt": DEALT,
    "profile_consent_version": DEALT,
    "without_rows": (None, []),
    "doubled": (None,),
    "returned": (None,),
    "removed": (None, 1, 0),
    "erased": (None,),
    "unrecorded_attempts": (None,),
    "unrecorded_deliveries": (None, []),
    "activation_rule_version": (None,),
    "message_template": (None,),
    "wrong_campaigns": (None, []),
    "wrong_launches": (None, []),
}


@pytest.fixture
async def unknown_to_statistics(connect: Connect, recorded: Recorded) -> None:
    """Many entries with a decision each, which came after the server last looked at the tables."""
    async with connect("postgres") as superuser:
        await superuser.execute("ANALYZE")
        await superuser.execute("SET session_replication_role = replica")
        await superuser.execute(
            """
            WITH entry AS (
                INSERT INTO audit_entry (
                    tenant_id, entry_id, kind, actor, call_id, recorded_table, member_count, root,
                    details
                )
                SELECT
                    $1, gen_random_uuid(), 'decided', 'a', '', 'decision', 1, sha256('root'), '{}'
                FROM generate_series(1, $2)
                RETURNING entry_id
            )
            INSERT INTO decision
            SELECT (jsonb_populate_record(d, jsonb_build_object(
                'decision_id', gen_random_uuid(), 'trigger_id', gen_random_uuid(),
                'audit_entry_id', e.entry_id, 'leaf_no', 0
            ))).*
            FROM entry AS e
            JOIN decision AS d ON (d.tenant_id, d.decision_id) = (
                SELECT tenant_id, decision_id FROM decision WHERE tenant_id = $1 LIMIT 1
            )
            """,
            recorded.tenant_id,
            ENTRY_COUNT,
        )


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes_of(below)


def test_every_statement_that_reads_whole_tables_is_asked() -> None:
    # The others look few things up: a proof's, and those of a finding.
    few = {"select_seqs", "select_delivery", "select_removal", "recorded_of_delivery"}
    few |= {"select_entry", "select_digests", "export_snapshot", "ended_tenants", "seals"}
    # Each snapshot's chunks are read by their key.
    few.add("wrong_snapshots")
    assert set(QUERIES.available_queries) >= few
    names = {name for name in QUERIES.available_queries if not name.endswith("_cursor")}
    assert names == few | STATEMENTS.keys()


@pytest.mark.usefixtures("unknown_to_statistics")
async def test_no_table_is_read_once_for_each_row_of_another(site: Site) -> None:
    async with snapshot_of(site.dsn_of(roles.AUDITOR), settings=WHOLE_TABLES) as connection:
        for name, arguments in STATEMENTS.items():
            told = await connection.fetchval(
                f"EXPLAIN (ANALYZE, FORMAT JSON) {copied(name)}", *arguments
            )
            scans = [
                node
                for node in nodes_of(orjson.loads(told)[0]["Plan"])
                # Whether an entry is sealed is looked up, for the few that have to be.
                if node.get("Relation Name") not in (None, "audit_seal")
            ]
            assert scans, name
            for scan in scans:
                assert scan["Actual Loops"] <= 1, (name, scan["Relation Name"])
