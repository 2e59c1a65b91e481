"""Who owns, may and is what, asked of the catalogue: no more than what is written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from libs.postgres import roles
from tests.contract.database.rows import TABLES
from tests.contract.database.walls.expected import (
    DOOR,
    FUNCTION_CALLERS,
    GRANTED_ROLES,
    TABLE_GRANTS,
    VIEW_READERS,
    granted,
)

if TYPE_CHECKING:
    from tests.conftest import Connect

ALL_ROLES = (*roles.LOGIN_ROLES, roles.OWNER, roles.ERASER)


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


async def test_nothing_is_granted_but_what_is_written(superuser: Any) -> None:
    rows = await superuser.fetch(
        """
        SELECT
            kind,
            name,
            CASE grantee WHEN 0 THEN 'public' ELSE grantee::regrole::text END AS role,
            privilege_type AS privilege,
            array_agg(column_name) FILTER (WHERE column_name <> '') AS columns,
            bool_or(is_grantable) AS is_grantable
        FROM (
            SELECT
                CASE relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' ELSE 'table' END AS kind,
                relname::text AS name,
                a.column_name,
                a.acl
            FROM pg_class AS c
            CROSS JOIN LATERAL (
                SELECT '' AS column_name, relacl AS acl
                UNION ALL
                SELECT attname, attacl FROM pg_attribute WHERE attrelid = c.oid
            ) AS a
            WHERE relnamespace = 'public'::regnamespace
            UNION ALL
            SELECT
                CASE prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, proname, '',
                coalesce(proacl, acldefault('f', proowner))
            FROM pg_proc AS p
            WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS (
                SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e'
            )
            UNION ALL
            SELECT 'schema', nspname, '', nspacl FROM pg_namespace WHERE nspname = 'public'
        ) AS object
        CROSS JOIN LATERAL aclexplode(acl)
        WHERE grantee <> $1::regrole
        GROUP BY 1, 2, 3, 4
        """,
        roles.OWNER,
    )
    found: dict[tuple[str, str, str], dict[str, set[str]]] = {}
    for row in rows:
        assert not row["is_grantable"], tuple(row)
        privileges = found.setdefault((row["kind"], row["name"], row["role"]), {})
        privileges[row["privilege"]] = set(row["columns"] or ())
    objects = (
        *(("table", name) for name in TABLE_GRANTS),
        *(("view", name) for name in VIEW_READERS),
        *(("function", name) for name in FUNCTION_CALLERS),
        ("schema", "public"),
    )
    written = {
        (kind, name, role): granted(kind, name, role)
        for kind, name in objects
        for role in GRANTED_ROLES
    }
    assert found == {key: privileges for key, privileges in written.items() if privileges}


async def test_owner_owns_everything_but_the_door(superuser: Any) -> None:
    owners = await superuser.fetch(
        """
        SELECT relname AS name, relowner::regrole::text AS owner FROM pg_class
        WHERE relnamespace = 'public'::regnamespace
        UNION ALL
        SELECT proname, proowner::regrole::text FROM pg_proc AS p
        WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS (
            SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e'
        )
        """
    )
    assert {row["name"] for row in owners if row["owner"] == roles.ERASER} == set(DOOR)
    assert {row["owner"] for row in owners} == {roles.OWNER, roles.ERASER}
    # Anything anywhere: also a database, a type or a large object.
    owning = await superuser.fetch(
        "SELECT DISTINCT refobjid::regrole::text AS role FROM pg_shdepend"
        " WHERE deptype = 'o' AND refobjid::regrole::text LIKE 'leo\\_%'"
    )
    assert {row["role"] for row in owning} == {roles.OWNER, roles.ERASER}


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
