"""The schema as people read it is the one that the migrations build."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from libs.embedded.installation import install_postgres, library_environment
from libs.postgres.migrations import bootstrap
from libs.schema import PAGE, SCRIPT, read_catalogue, render_page, render_script
from libs.schema.page import COMMON_COLUMNS
from tests.conftest import passwords_of

if TYPE_CHECKING:
    from libs.embedded import EmbeddedPostgres
    from libs.schema.catalogue import Catalogue

STALE = "is stale: run make schema, and look at what changed"
# Of a person as everybody knows them.
PLAIN = {
    *("given_name", "middle_name", "family_name", "gender", "birth_year", "birth_month"),
    *("birth_day", "language", "city", "country", "zalo_user_id"),
}
# One change of each kind of object, at the least, that the files must show.
CHANGES = (
    "ALTER TABLE tenant ADD COLUMN note text",
    "ALTER TABLE tenant ALTER COLUMN display_name DROP DEFAULT",
    "ALTER TABLE tenant ALTER COLUMN name DROP NOT NULL",
    "ALTER TABLE tenant DROP CONSTRAINT tenant_state_check",
    "ALTER TABLE campaign_launch DROP CONSTRAINT campaign_launch_tenant_id_snapshot_id_fkey",
    "DROP INDEX decision_relay_v1",
    "DROP TRIGGER append_only ON marketing_event_p07",
    "DROP POLICY auditor_reads ON marketing_event_p07",
    "ALTER POLICY tenant_isolation ON tenant USING (true)",
    "ALTER TABLE tenant NO FORCE ROW LEVEL SECURITY",
    "ALTER VIEW v_journey RESET (security_invoker)",
    "GRANT DELETE ON tenant TO leo_ingest",
    "GRANT SELECT (name) ON tenant TO leo_finder",
    "GRANT SELECT ON tenant TO PUBLIC",
    "GRANT INSERT ON v_snapshot_member TO leo_segment",
    "GRANT EXECUTE ON FUNCTION enter_platform_v1() TO leo_segment",
    "ALTER FUNCTION enter_platform_v1() SECURITY DEFINER",
    "COMMENT ON TABLE tenant IS 'Something else. Written by ingest.'",
    "COMMENT ON COLUMN tenant.state IS 'something else'",
    "CREATE TABLE more (tenant_id uuid PRIMARY KEY)",
    "DROP FUNCTION enter_platform_v1()",
)
# A body and an owner stand in the script alone.
SCRIPT_CHANGES = (
    "CREATE OR REPLACE FUNCTION leo_now() RETURNS timestamptz LANGUAGE sql RETURN now()",
    "ALTER TABLE tenant OWNER TO leo_eraser",
    "CREATE OR REPLACE VIEW v_audit_breach AS SELECT * FROM ledger_seals_v1('6 seconds')",
)


@pytest.fixture(scope="module")
async def catalogue(superuser: Any) -> Catalogue:
    return await read_catalogue(superuser)


def test_schema_file_is_what_the_migrations_build(catalogue: Catalogue) -> None:
    assert SCRIPT.read_text(encoding="utf-8") == render_script(catalogue), f"{SCRIPT} {STALE}"


def test_page_is_what_the_migrations_build_and_no_role_may_do_more(catalogue: Catalogue) -> None:
    assert PAGE.read_text(encoding="utf-8") == render_page(catalogue), f"{PAGE} {STALE}"


async def test_pg_dump_finds_no_difference_between_migrations_and_schema_file(
    postgres: EmbeddedPostgres, superuser: Any, database_name: str
) -> None:
    empty = "leo_schema_file"
    await bootstrap(postgres.superuser_dsn("postgres"), passwords_of(postgres), empty)
    connection = await asyncpg.connect(postgres.superuser_dsn(empty))
    try:
        await connection.execute(SCRIPT.read_text(encoding="utf-8"))
        again = await read_catalogue(connection)
        assert render_script(again) == SCRIPT.read_text(encoding="utf-8")
        assert render_page(again) == PAGE.read_text(encoding="utf-8")
        written = await _dump(postgres.superuser_dsn(empty))
        migrated = await _dump(postgres.superuser_dsn(database_name))
        assert len(written) > 1000
        assert written == migrated
    finally:
        await connection.close()
        await superuser.execute(f"DROP DATABASE {empty} WITH (FORCE)")


@pytest.mark.parametrize("change", [*CHANGES, *SCRIPT_CHANGES])
async def test_no_change_of_the_schema_goes_by_unseen(
    superuser: Any, catalogue: Catalogue, change: str
) -> None:
    transaction = superuser.transaction()
    await transaction.start()
    try:
        await superuser.execute(change)
        changed = await read_catalogue(superuser)
    finally:
        await transaction.rollback()
    assert render_script(changed) != render_script(catalogue)
    if change in CHANGES:
        assert render_page(changed) != render_page(catalogue)


def test_every_column_says_what_it_means_unless_its_name_does(catalogue: Catalogue) -> None:
    keys = {
        column
        for table in catalogue.tables
        for constraint in table.constraints
        if constraint.kind == "p"
        for column in constraint.columns
        if column.endswith("_id")
    }
    silent = {
        f"{table.name}.{column.name}"
        for table in catalogue.tables
        for column in table.columns
        if not column.comment and column.name not in keys | COMMON_COLUMNS.keys() | PLAIN
    }
    assert not silent


def test_every_routine_says_what_it_is_for(catalogue: Catalogue) -> None:
    assert not [routine.signature for routine in catalogue.routines if not routine.comment]


def test_diagram_has_every_table(catalogue: Catalogue) -> None:
    diagram = render_page(catalogue).partition("```mermaid\nerDiagram\n")[2].partition("```")[0]
    assert {table.name for table in catalogue.tables} <= set(re.findall(r"\w+", diagram))


async def _dump(dsn: str) -> list[str]:
    """What pg_dump says of a schema, in no order: that of grants is the order of their making."""
    installation = install_postgres()
    process = await asyncio.create_subprocess_exec(
        str(installation / "bin/pg_dump"),
        "--schema-only",
        "--schema=public",
        "--exclude-table=schema_migrations",
        dsn,
        env=library_environment(installation),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    lines = output.decode().splitlines()
    # A word that psql must say at the end, new each time.
    return sorted(line for line in lines if not line.startswith(("\\restrict", "\\unrestrict")))
