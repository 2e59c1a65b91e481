"""What must hold of every object, also of one that is added later, asked of the catalogue."""

from __future__ import annotations

from typing import Any

from libs.postgres import roles
from tests.contract.database.rows import KEPT, TABLES
from tests.contract.database.walls.expected import DOOR, TABLE_GRANTS, VIEW_READERS
from tests.contract.database.walls.wall import BOUND_ROLES, tables_of_tenants

PARTITIONS = {f"marketing_event_p{number:02}" for number in range(16)}
# The bookkeeping of migrations: no tenant's rows, and no grants.
NOT_OURS = "schema_migrations"
# Written with every event or message, when each row would lock its tenant's (docs/decisions/0006),
# or hanging on such a row: enter_tenant_v1() asks for the tenant once a transaction.
WITHOUT_TENANT_KEY = {
    "marketing_event",
    *PARTITIONS,
    "audit_entry",
    "audit_seal",
    "profile_consent_version",
    "decision",
    "delivery_log",
    "delivery_attempt",
}
# Beside the one that every table has.
MORE_TRIGGERS = {"segment_snapshot_member": {"refuse_late_member_v1"}}
PLANNER_SETTINGS = {"jit=off", "enable_hashjoin=off", "enable_hashagg=off", "enable_sort=off"}


async def test_schema_holds_tables_of_tenants_and_views_and_nothing_else(superuser: Any) -> None:
    relations = await superuser.fetch(
        "SELECT relname AS name, relkind::text AS kind FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind NOT IN ('i', 'I', 'S')"
    )
    tables = {row["name"] for row in relations if row["kind"] in {"r", "p"}} - {NOT_OURS}
    assert tables == {*TABLES, *PARTITIONS}
    assert tables == set(await tables_of_tenants(superuser))
    # A materialized view has no policies, nor has a foreign table.
    assert {row["name"] for row in relations if row["kind"] not in {"r", "p"}} == set(VIEW_READERS)
    assert {row["kind"] for row in relations} == {"r", "p", "v"}
    schemas = await superuser.fetch(
        "SELECT nspname FROM pg_namespace"
        " WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
    )
    assert [row["nspname"] for row in schemas] == ["public"]
    assert not await superuser.fetchval("SELECT count(*) FROM pg_event_trigger")


async def test_no_statistics_are_kept_of_tenants(superuser: Any) -> None:
    """docs/decisions/0015; tenant itself has one row of each."""
    kept = await superuser.fetch(
        "SELECT attrelid::regclass::text AS name FROM pg_attribute"
        " JOIN pg_class ON pg_class.oid = attrelid AND relkind IN ('r', 'p')"
        " WHERE relnamespace = 'public'::regnamespace AND attname = 'tenant_id'"
        " AND attstattarget IS DISTINCT FROM 0"
    )
    assert {row["name"] for row in kept} == {"tenant"}


async def test_every_table_forces_its_policies_and_has_those_that_it_needs(superuser: Any) -> None:
    for table in await tables_of_tenants(superuser):
        enabled = await superuser.fetchrow(
            "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = $1::regclass",
            table,
        )
        assert tuple(enabled) == (True, True), table
        policies = {
            row["policyname"]: row
            for row in await superuser.fetch(
                "SELECT * FROM pg_policies WHERE tablename = $1", table
            )
        }
        readers = {"auditor_reads": roles.AUDITOR}
        if roles.FINDER in TABLE_GRANTS.get(table, {}):
            readers["finder_looks"] = roles.FINDER
        if table == "tenant":
            readers["platform_reads"] = roles.INGEST
        assert set(policies) == {"tenant_isolation", *readers}, table
        for name, role in readers.items():
            assert policies[name]["roles"] == [role]
            assert policies[name]["cmd"] == "SELECT"
        isolation = policies["tenant_isolation"]
        assert set(isolation["roles"]) == set(BOUND_ROLES)
        assert isolation["cmd"] == "ALL"
        assert isolation["qual"] == isolation["with_check"]


async def test_every_table_is_append_only_or_keeps_the_time_of_its_last_change(
    superuser: Any,
) -> None:
    rows = await superuser.fetch(
        """
        SELECT
            c.relname AS table,
            EXISTS (
                SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'updated_at'
            ) AS mutable,
            array_agg(tgfoid::regproc::text) FILTER (WHERE tgenabled = 'O') AS functions
        FROM pg_class AS c
        LEFT JOIN pg_trigger AS t ON t.tgrelid = c.oid AND NOT tgisinternal
        WHERE c.oid = ANY($1::text[]::regclass[])
        GROUP BY c.oid
        """,
        await tables_of_tenants(superuser),
    )
    for row in rows:
        expected = {"update_timestamp" if row["mutable"] else "refuse_change_v1"}
        expected |= MORE_TRIGGERS.get(row["table"], set())
        assert set(row["functions"] or ()) == expected, row["table"]


async def test_every_row_belongs_to_a_tenant_that_is_there(superuser: Any) -> None:
    rows = await superuser.fetch(
        """
        WITH RECURSIVE bound AS (
            SELECT 'tenant'::regclass::oid AS oid
            UNION
            SELECT conrelid FROM bound JOIN pg_constraint ON contype = 'f' AND confrelid = bound.oid
        )
        SELECT t.name
        FROM unnest($1::text[]) AS t (name)
        WHERE t.name::regclass NOT IN (SELECT oid FROM bound)
        """,
        await tables_of_tenants(superuser),
    )
    assert {row["name"] for row in rows} == WITHOUT_TENANT_KEY


async def test_every_key_leads_with_the_tenant(superuser: Any) -> None:
    keys = await superuser.fetch(
        """
        SELECT i.indexrelid::regclass::text AS name, a.attname AS first
        FROM pg_index AS i
        JOIN pg_class AS c ON c.oid = i.indrelid AND c.relnamespace = 'public'::regnamespace
        JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE c.relname <> $1
        UNION ALL
        SELECT conname, a.attname
        FROM pg_constraint
        JOIN pg_attribute AS a ON a.attrelid = conrelid AND a.attnum = conkey[1]
        WHERE contype = 'f' AND connamespace = 'public'::regnamespace
        """,
        NOT_OURS,
    )
    elsewhere = {row["name"] for row in keys if row["first"] != "tenant_id"}
    # Names of tenants are unique across them; whoever creates tenants alone meets it. Leases that
    # ran out are looked for across tenants, by leo_finder alone.
    assert elsewhere == {"tenant_name_key", "delivery_log_lease_v1"}


async def test_a_removal_reaches_every_table_in_an_order_that_its_keys_allow(
    superuser: Any,
) -> None:
    rows = await superuser.fetch("SELECT table_name FROM tenant_tables_v1()")
    order = [row["table_name"] for row in rows]
    assert sorted(order) == sorted(set(TABLES) - set(KEPT))
    keys = await superuser.fetch(
        "SELECT conrelid::regclass::text AS child, confrelid::regclass::text AS parent"
        " FROM pg_constraint WHERE contype = 'f' AND conparentid = 0"
        " AND connamespace = 'public'::regnamespace"
    )
    inside = [key for key in keys if key["parent"] not in KEPT and key["child"] not in KEPT]
    assert inside
    for key in inside:
        assert order.index(key["child"]) < order.index(key["parent"])
    for table in TABLES:
        for privilege in ("SELECT", "DELETE"):
            allowed = await superuser.fetchval(
                "SELECT has_table_privilege($1, $2, $3)", roles.ERASER, table, privilege
            )
            assert allowed or table in KEPT, f"{privilege} on {table}"
            assert not (allowed and table in KEPT and privilege == "DELETE"), table


async def test_functions_name_what_they_mean_and_few_run_by_another_right(superuser: Any) -> None:
    found = await superuser.fetch(
        """
        SELECT proname, prosecdef, proconfig
        FROM pg_proc AS p
        WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS (
            SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e'
        )
        """
    )
    assert found
    # leo_now names nothing that a search path could replace, and stays inlinable without one.
    loose = {row["proname"] for row in found if row["proconfig"] is None}
    assert loose == {"leo_now"}
    for row in found:
        if row["proconfig"] is not None:
            path, *settings = row["proconfig"]
            assert path == "search_path=pg_catalog, public, pg_temp"
            # The ledger alone tells the planner how to compare a million rows.
            assert not settings or row["proname"].startswith("ledger_")
            assert set(settings) <= PLANNER_SETTINGS
    assert {row["proname"] for row in found if row["prosecdef"]} == {"audit_append_v1", *DOOR}


async def test_views_ask_by_the_right_of_who_asks_and_nobody_writes_through_them(
    superuser: Any,
) -> None:
    views = await superuser.fetch(
        "SELECT relname, reloptions, obj_description(oid) AS comment,"
        " pg_relation_is_updatable(oid, true) AS changes FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'"
    )
    for view in views:
        assert "security_invoker=true" in (view["reloptions"] or []), view["relname"]
        assert view["changes"] == 0, view["relname"]
        assert view["comment"], view["relname"]


async def test_no_column_is_of_a_type_whose_comparison_leaks(superuser: Any) -> None:
    found = await superuser.fetch(
        """
        SELECT attrelid::regclass, attname FROM pg_attribute
        JOIN pg_class AS c ON c.oid = attrelid AND c.relnamespace = 'public'::regnamespace
        JOIN pg_type AS t ON t.oid = atttypid
        WHERE attnum > 0 AND (t.typtype = 'e' OR t.typname = 'citext')
        """
    )
    assert found == []


async def test_events_are_in_sixteen_hash_partitions(superuser: Any) -> None:
    assert await superuser.fetchval(
        "SELECT partstrat = 'h'::\"char\" FROM pg_partitioned_table"
        " WHERE partrelid = 'marketing_event'::regclass"
    )
    found = await superuser.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
        " WHERE inhparent = 'marketing_event'::regclass"
    )
    assert {row["name"] for row in found} == set(PARTITIONS)


async def test_extensions_are_there(superuser: Any) -> None:
    assert await superuser.fetchval("SELECT '[1,2]'::vector <-> '[1,3]'") == 1
    assert len(await superuser.fetchval("SELECT gen_random_bytes(8)")) == 8
