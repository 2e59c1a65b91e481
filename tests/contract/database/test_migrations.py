"""Migrations go up, down and up again, with rows in the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from libs.postgres import roles
from libs.postgres.migrations import (
    MIGRATIONS_FOLDER,
    MigrationError,
    bootstrap,
    migrate_down,
    migrate_up,
)
from tests.contract.database.rows import fill

if TYPE_CHECKING:
    from uuid import UUID

    from libs.embedded import EmbeddedPostgres
    from tests.conftest import NewDatabase

MIGRATION_COUNT = len(list(MIGRATIONS_FOLDER.glob("[0-9]*.sql")))

# As text from the first branch on: with names in it, the union would be of names, of 63 characters.
SHAPE = """
SELECT 'column', attrelid::regclass::text, attname::text, format_type(atttypid, atttypmod),
    attnotnull, pg_get_expr(adbin, adrelid), attidentity::text, attacl::text
FROM pg_attribute
JOIN pg_class AS c ON c.oid = attrelid AND c.relnamespace = 'public'::regnamespace
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid),
    convalidated, NULL, NULL, NULL
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL
SELECT 'index', tablename, indexname, indexdef, NULL, NULL, NULL, NULL
FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT 'policy', tablename, policyname, qual, NULL, with_check, cmd, roles::text
FROM pg_policies WHERE schemaname = 'public'
UNION ALL
SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), NULL, NULL, NULL, NULL
FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT 'relation', relname, relkind::text, relowner::regrole::text, relforcerowsecurity,
    obj_description(oid), relrowsecurity::text, relacl::text
FROM pg_class WHERE relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'view', relname, pg_get_viewdef(oid), reloptions::text, NULL, NULL, NULL, NULL
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'
UNION ALL
SELECT 'routine', proname, pg_get_function_identity_arguments(oid), pg_get_functiondef(oid), NULL,
    obj_description(oid), NULL, proacl::text
FROM pg_proc AS p WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS (
    SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e'
)
ORDER BY 1, 2, 3, 4
"""


async def shape(connection: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await connection.fetch(SHAPE)]


@pytest.mark.parametrize("steps", range(1, MIGRATION_COUNT + 1))
async def test_going_down_and_up_again_gives_the_same_schema(
    postgres: EmbeddedPostgres, new_database: NewDatabase, steps: int
) -> None:
    async with new_database() as name:
        dsn = postgres.dsn(roles.MIGRATE, name)
        superuser = await asyncpg.connect(postgres.superuser_dsn(name))
        try:
            before = await shape(superuser)
            await fill(superuser)
            await migrate_down(dsn, steps)
            lowered = await shape(superuser)
            assert lowered != before
            left = {row[1] for row in lowered if row[0] in {"relation", "routine"}}
            if steps == MIGRATION_COUNT:
                assert left == {"schema_migrations", "schema_migrations_pkey"}
            if "tenant" in left:
                assert await superuser.fetchval("SELECT count(*) FROM tenant") == 1
            await migrate_up(dsn)
            assert await shape(superuser) == before
        finally:
            await superuser.close()


async def test_no_table_and_no_partition_is_empty_when_migrations_are_tried(
    superuser: Any, two_tenants: tuple[UUID, UUID]
) -> None:
    tables = await superuser.fetch(
        "SELECT oid::regclass::text AS name FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND relname <> 'schema_migrations'"
    )
    assert tables
    for table in tables:
        for tenant_id in two_tenants:
            assert await superuser.fetchval(
                f"SELECT EXISTS (SELECT FROM {table['name']} WHERE tenant_id = $1)", tenant_id
            ), f"{table['name']}: fill.sql puts no row into it"


async def test_there_is_nothing_below_the_first_migration(
    postgres: EmbeddedPostgres, new_database: NewDatabase
) -> None:
    async with new_database() as name:
        with pytest.raises(MigrationError, match="dbmate rollback failed"):
            await migrate_down(postgres.dsn(roles.MIGRATE, name), MIGRATION_COUNT + 1)


async def test_migrating_twice_changes_nothing(
    postgres: EmbeddedPostgres, superuser: Any, database_name: str
) -> None:
    before = await shape(superuser)
    await migrate_up(postgres.dsn(roles.MIGRATE, database_name))
    assert await shape(superuser) == before


async def test_error_does_not_show_the_password(postgres: EmbeddedPostgres) -> None:
    dsn = urlsplit(postgres.dsn(roles.MIGRATE, "leo_nowhere"))
    with pytest.raises(MigrationError) as raised:
        await migrate_up(dsn.geturl().replace(f":{dsn.password}@", ":a-password@"))
    assert "authentication failed" in str(raised.value)
    assert "a-password" not in str(raised.value)


async def test_bootstrap_asks_for_every_password(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(ValueError, match=roles.AUDITOR):
        await bootstrap(
            postgres.superuser_dsn("postgres"),
            {role: "x" for role in roles.LOGIN_ROLES if role != roles.AUDITOR},
            "leo_unused",
        )
