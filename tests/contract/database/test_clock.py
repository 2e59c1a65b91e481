"""Every time that the database writes is from its one clock, which a test may shift."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg

from tests.contract.database.rows import TABLES, fill

if TYPE_CHECKING:
    from libs.embedded import EmbeddedPostgres
    from tests.conftest import NewDatabase

# What is said by whoever inserts the row: a client, or a plan.
NOT_OURS = {"occurred_at", "consented_at", "source_updated_at", "due_at", "expires_at"}


async def times(connection: Any) -> dict[tuple[str, str], datetime]:
    columns = await connection.fetch(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = ANY($1) AND column_name LIKE '%\\_at'",
        list(TABLES),
    )
    return {
        (table, column): await connection.fetchval(f"SELECT min({column}) FROM {table}")
        for table, column in columns
        if column not in NOT_OURS
    }


async def test_shifted_clock_shifts_every_time(
    postgres: EmbeddedPostgres, new_database: NewDatabase
) -> None:
    shift = timedelta(days=40)
    async with new_database() as name:
        superuser = await asyncpg.connect(postgres.superuser_dsn(name))
        try:
            await superuser.execute(
                "CREATE OR REPLACE FUNCTION leo_now() RETURNS timestamptz LANGUAGE sql STABLE"
                " RETURN now() + interval '40 days'"
            )
            await fill(superuser)
            found = await times(superuser)
            assert {column for _, column in found} == {
                "created_at",
                "updated_at",
                "received_at",
                "decided_at",
                "taken_at",
                "reviewed_at",
                "lifted_at",
            }
            # Members have the time of their snapshot.
            assert {table for table, _ in found} == {*TABLES} - {"segment_snapshot_member"}
            for time in found.values():
                assert time - datetime.now(UTC) > shift - timedelta(minutes=5)

            await superuser.execute(
                "CREATE OR REPLACE FUNCTION leo_now() RETURNS timestamptz LANGUAGE sql STABLE"
                " RETURN now() + interval '80 days'"
            )
            for table in ("tenant", "cdp_profiles", "profile_consent"):
                await superuser.execute(f"UPDATE {table} SET state = state")
                updated_at = await superuser.fetchval(f"SELECT updated_at FROM {table}")
                assert updated_at - found[table, "updated_at"] > shift - timedelta(minutes=5)
        finally:
            await superuser.close()
