"""What must hold of every object, also of one that is added later, asked of the catalogue."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from libs.postgres import roles
from tests.contract.database.rows import DOOR, FOUND_BY, KEPT, PARTITIONS, TABLES, TRIGGERS

if TYPE_CHECKING:
    from tests.conftest import Connect

BOUND_ROLES = {*roles.SERVICE_ROLES, roles.OWNER, roles.ERASER}
ALL_ROLES = (*roles.LOGIN_ROLES, roles.OWNER, roles.ERASER)
# The bookkeeping of migrations: no tenant's rows, and no grants.
NOT_OURS = "schema_migrations"
VIEW_READERS = {
    "v_journey": {roles.DECISION, roles.AUDITOR},
    "v_consequence": {roles.DECISION, roles.AUDITOR},
    "v_snapshot_member": {roles.SEGMENT, roles.DECISION, roles.AUDITOR},
    "v_delivery_reached": {roles.DECISION, roles.DISPATCH, roles.AUDITOR},
    "v_ledger_breach": {roles.DECISION, roles.DISPATCH, roles.AUDITOR},
    "v_audit_breach": {roles.DECISION, roles.AUDITOR},
}
PLANNER_SETTINGS = {"jit=off", "enable_hashjoin=off", "enable_hashagg=off", "enable_sort=off"}


async def test_tests_know_every_table(superuser: Any) -> None:
    found = await superuser.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p') AND relname <> $1",
        NOT_OURS,
    )
    assert {row["relname"] for row in found} == {*TABLES, *PARTITIONS}


@pytest.mark.parametrize("table", [*TABLES, *PARTITIONS])
async def test_table_forces_its_policies(superuser: Any, table: str) -> None:
    enabled = await superuser.fetchrow(
        "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = $1::regclass", table
    )
    assert tuple(enabled) == (True, True)
    policies = {
        row["policyname"]: row
        for row in await superuser.fetch("SELECT * FROM pg_policies WHERE tablename = $1", table)
    }
    others = {"finder_looks": roles.FINDER} if table in FOUND_BY else {}
    if table == "tenant":
        others["platform_reads"] = roles.INGEST
    assert set(policies) == {"tenant_isolation", "auditor_reads", *others}
    for name, role in others.items():
        assert policies[name]["roles"] == [role]
        assert policies[name]["cmd"] == "SELECT"
    assert set(policies["tenant_isolation"]["roles"]) == BOUND_ROLES
    assert policies["tenant_isolation"]["qual"] == policies["tenant_isolation"]["with_check"]
    assert policies["auditor_reads"]["roles"] == [roles.AUDITOR]
    assert policies["auditor_reads"]["cmd"] == "SELECT"


@pytest.mark.parametrize("table", [*TABLES, *PARTITIONS])
async def test_append_only_tables_have_the_trigger_and_the_others_a_time_of_update(
    superuser: Any, table: str
) -> None:
    found = await superuser.fetch(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal"
        " AND tgenabled = 'O'",
        table,
    )
    expected = {TRIGGERS.get(table, "update_timestamp")}
    if table == "segment_snapshot_member":
        expected.add("prevent_snapshot_growth")
    assert {row["tgname"] for row in found} == expected


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


@pytest.mark.parametrize("table", TABLES)
async def test_one_service_writes_the_table_and_its_comment_says_which(
    superuser: Any, table: str
) -> None:
    comment = await superuser.fetchval("SELECT obj_description($1::regclass)", table)
    writers = {
        role
        for role in roles.SERVICE_ROLES
        if await superuser.fetchval(
            "SELECT has_any_column_privilege($1, $2, 'INSERT, UPDATE')"
            " OR has_table_privilege($1, $2, 'DELETE')",
            role,
            table,
        )
    }
    said = re.search(r"Written by (.+)\.$", comment)
    assert said is not None
    named = re.findall(r"\b(ingest|segment|decision|dispatch)\b", said.group(1))
    # Each hop has a row of its own in relay_watermark, and one writer. Nobody has a grant to write
    # audit_entry: a function does, for every service.
    count = {"relay_watermark": 2, "audit_entry": 0}.get(table, 1)
    assert len(named) == count, said.group(0)
    assert writers == {f"leo_{name}" for name in named}


async def test_nobody_but_the_owner_may_truncate_create_or_touch_a_partition(
    superuser: Any,
) -> None:
    for role in (*roles.SERVICE_ROLES, roles.FINDER, roles.AUDITOR, roles.ERASER):
        assert not await superuser.fetchval(
            "SELECT has_schema_privilege($1, 'public', 'CREATE')", role
        )
        for table in (*TABLES, *PARTITIONS):
            assert not await superuser.fetchval(
                "SELECT has_table_privilege($1, $2, 'TRUNCATE, REFERENCES, TRIGGER')",
                role,
                table,
            )
        for partition in PARTITIONS:
            assert not await superuser.fetchval(
                "SELECT has_any_column_privilege($1, $2, 'SELECT, INSERT, UPDATE')"
                " OR has_table_privilege($1, $2, 'DELETE')",
                role,
                partition,
            )


async def test_owner_owns_everything_but_the_door(superuser: Any) -> None:
    found = await superuser.fetch(
        """
        SELECT relowner::regrole::text AS owner FROM pg_class
        WHERE relnamespace = 'public'::regnamespace
        UNION
        SELECT proowner::regrole::text FROM pg_proc AS p
        WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS (
            SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e'
        ) AND proname <> ALL($1::text[])
        """,
        list(DOOR),
    )
    assert [row["owner"] for row in found] == [roles.OWNER]


async def test_the_door_is_the_erasers_and_ingest_alone_goes_through_it(superuser: Any) -> None:
    found = await superuser.fetch(
        "SELECT proname, proowner::regrole::text AS owner, oid FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace AND proowner = $1::regrole",
        roles.ERASER,
    )
    assert {row["proname"] for row in found} == set(DOOR)
    for role in ALL_ROLES:
        for row in found:
            allowed = await superuser.fetchval(
                "SELECT has_function_privilege($1, $2::oid, 'EXECUTE')", role, row["oid"]
            )
            assert allowed == (role in {roles.INGEST, roles.ERASER}), (role, row["proname"])


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


async def test_functions_run_for_whom_they_are_granted_alone(superuser: Any) -> None:
    found = await superuser.fetch(
        """
        SELECT proname, prosecdef, proconfig,
            has_function_privilege('public', oid, 'EXECUTE') AS open
        FROM pg_proc AS p
        WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS (
            SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e'
        )
        """
    )
    assert found
    assert not [row["proname"] for row in found if row["open"]]
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


async def test_no_view_shows_what_its_owner_sees(superuser: Any) -> None:
    views = await superuser.fetch(
        "SELECT relname, relkind::text, reloptions, obj_description(oid) AS comment FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')"
    )
    assert {view["relname"] for view in views} == set(VIEW_READERS)
    for view in views:
        assert view["relkind"] == "v", f"{view['relname']} is materialized: it has no policies"
        assert "security_invoker=true" in (view["reloptions"] or []), view["relname"]
        assert view["comment"], view["relname"]


@pytest.mark.parametrize("view", VIEW_READERS)
async def test_view_is_read_by_whom_it_is_for_and_written_by_nobody(
    superuser: Any, view: str
) -> None:
    for role in (*roles.SERVICE_ROLES, roles.FINDER, roles.AUDITOR, roles.ERASER):
        reads = await superuser.fetchval("SELECT has_table_privilege($1, $2, 'SELECT')", role, view)
        assert reads == (role in VIEW_READERS[view])
        assert not await superuser.fetchval(
            "SELECT has_table_privilege($1, $2, 'INSERT, UPDATE, DELETE, TRUNCATE')", role, view
        )


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


async def test_only_the_migrating_role_passes_by_policies(superuser: Any) -> None:
    found = {
        row["rolname"]: row
        for row in await superuser.fetch("SELECT * FROM pg_roles WHERE rolname LIKE 'leo\\_%'")
    }
    assert set(found) == set(ALL_ROLES)
    for name, role in found.items():
        assert role["rolbypassrls"] == (name == roles.MIGRATE)
        assert role["rolcanlogin"] == (name in roles.LOGIN_ROLES)
        for power in ("rolsuper", "rolcreatedb", "rolcreaterole", "rolreplication"):
            assert not role[power]


async def test_no_role_is_a_member_of_another_but_migrate_which_gives_things_away(
    superuser: Any,
) -> None:
    found = await superuser.fetch(
        "SELECT roleid::regrole::text AS role, member::regrole::text AS member, inherit_option"
        " FROM pg_auth_members WHERE roleid::regrole::text LIKE 'leo\\_%'"
        " OR member::regrole::text LIKE 'leo\\_%'"
    )
    assert {tuple(row) for row in found} == {
        (roles.OWNER, roles.MIGRATE, True),
        # Without its rights: a policy also applies to whoever inherits its role.
        (roles.ERASER, roles.MIGRATE, False),
    }


async def test_database_lets_no_stranger_in_and_nobody_make_temporary_tables(
    superuser: Any, template: str
) -> None:
    # Grants on a database are not copied with it: the template is the one that was set up.
    for role in (*roles.SERVICE_ROLES, roles.FINDER, roles.AUDITOR, roles.ERASER):
        assert not await superuser.fetchval(
            "SELECT has_database_privilege($1, $2, 'TEMPORARY, CREATE')", role, template
        )
    assert not await superuser.fetchval(
        "SELECT has_database_privilege('public', $1, 'CONNECT')", template
    )


async def test_migrating_role_creates_as_the_owner_and_changes_rows_as_itself(
    connect: Connect,
) -> None:
    async with connect(roles.MIGRATE) as migrate:
        assert await migrate.fetchval("SELECT current_user") == roles.OWNER
        async with migrate.transaction():
            await migrate.execute(f"SET LOCAL ROLE {roles.MIGRATE}")
            assert await migrate.fetchval("SELECT row_security_active('tenant')") is False


async def test_extensions_are_there(superuser: Any) -> None:
    assert await superuser.fetchval("SELECT '[1,2]'::vector <-> '[1,3]'") == 1
    assert len(await superuser.fetchval("SELECT gen_random_bytes(8)")) == 8
