"""What is read does not depend on statistics: the first hours of a database go by the same indexes.

A service prepares its statements when it starts, perhaps on an empty database, and the server keeps
a plan until it next analyses the tables. docs/decisions/0015 tells what came of it.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from tests.conftest import connected
from tests.contract.plans.cases import CASES, DECISION, INGEST, MACHINE, REMOVAL, Case
from tests.contract.plans.conftest import fill, tell_plans
from tests.contract.plans.sample import Sample, take_sample
from tests.contract.plans.test_plans import ask
from tests.contract.plans.watching import Watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from libs.embedded import EmbeddedPostgres
    from tests.conftest import NewDatabase

# What may read more than it asks for where there are no statistics, and why.
EXCEPT = {
    f"{INGEST}:count_tenant_rows": "counts all that a tenant has",
    f"{REMOVAL}:remove_stories": "at night, and of tables that are a month old",
    f"{DECISION}:select_launches": "people's, a few hundred",
    f"{MACHINE}:select_expired": "after a crash, and no more than what is open",
}
# What grows with people, events and messages, and is referred to by what does.
LARGE = ["audit_entry", "cdp_profiles", "decision", "delivery_log"]
ASKED = [
    case
    for case in CASES
    if "small" in case.tenants and not case.planned_for_values and case.key not in EXCEPT
]


@dataclass(frozen=True, slots=True)
class Ground:
    """A filled database, and a connection as each role that asks."""

    connections: Mapping[str, Watched]
    sample: Sample


@pytest.fixture(scope="module", params=["planned while empty", "without statistics"])
async def ground(
    request: Any,
    postgres: EmbeddedPostgres,
    new_database: NewDatabase,
    samples: dict[str, Sample],
    table_sizes: dict[str, float],
) -> AsyncIterator[Ground]:
    async with new_database() as name, AsyncExitStack() as opened:
        superuser = await asyncpg.connect(postgres.superuser_dsn(name))
        opened.push_async_callback(superuser.close)
        tables = await superuser.fetch(
            "SELECT oid::regclass::text AS name FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        for table in tables:
            await superuser.execute(f"ALTER TABLE {table['name']} SET (autovacuum_enabled = off)")
        await tell_plans(superuser, name)
        once_for_all = request.param == "planned while empty"
        connections = {}
        for role in {case.asking_role for case in ASKED}:
            connection = await opened.enter_async_context(
                connected(
                    postgres, name, role, statement_cache_size=1000, max_cached_statement_lifetime=0
                )
            )
            mode = "force_generic_plan" if once_for_all else "force_custom_plan"
            await connection.execute(f"SET plan_cache_mode = {mode}")
            connections[role] = Watched(connection, table_sizes)
        if once_for_all:
            for case in ASKED:
                watched = connections[case.asking_role]
                # What it refers to is not there yet.
                with suppress(asyncpg.PostgresError):
                    async with watched.connection.transaction():
                        await ask(watched, case, samples["small"])
        await fill(superuser)
        yield Ground(connections, await take_sample(superuser, 1))


@pytest.mark.parametrize("case", ASKED, ids=[case.key for case in ASKED])
async def test_a_statement_reads_what_it_asks_for_all_the_same(ground: Ground, case: Case) -> None:
    watched: Any = ground.connections[case.asking_role]
    transaction = watched.connection.transaction()
    await transaction.start()
    try:
        await ask(watched, case, ground.sample)
        # Rows that were never there, but rolled back, are read too.
        assert not await watched.complaints(2 * case.row_count_max + 5)
    finally:
        await transaction.rollback()


async def test_foreign_keys_into_large_tables_are_checked_by_the_key(
    postgres: EmbeddedPostgres, new_database: NewDatabase
) -> None:
    """PostgreSQL keeps a plan for these too, from its first use: here, while nothing is there."""
    async with new_database() as name:
        superuser = await asyncpg.connect(postgres.superuser_dsn(name))
        await superuser.execute("SET plan_cache_mode = force_generic_plan")
        keys = await superuser.fetch(
            """
            SELECT
                c.conname AS name,
                i.relname AS key,
                c.confrelid::regclass::text AS parent,
                array_agg(quote_ident(a.attname) ORDER BY u.place) AS columns
            FROM pg_constraint AS c
            JOIN pg_class AS i ON i.oid = c.conindid
            CROSS JOIN LATERAL unnest(c.confkey) WITH ORDINALITY AS u (attnum, place)
            JOIN pg_attribute AS a ON a.attrelid = c.confrelid AND a.attnum = u.attnum
            WHERE c.contype = 'f' AND c.confrelid::regclass::text = ANY($1)
            GROUP BY c.oid, i.relname
            """,
            LARGE,
        )
        assert {key["parent"] for key in keys} == set(LARGE)
        for key in keys:
            where = " AND ".join(
                f"{column} = ${number}" for number, column in enumerate(key["columns"], start=1)
            )
            # As ri_triggers.c writes it.
            await superuser.execute(
                f"PREPARE {key['name']} AS"
                f" SELECT 1 FROM ONLY {key['parent']} WHERE {where} FOR KEY SHARE"
            )
            nulls = ", ".join("NULL" for _ in key["columns"])
            plan = await superuser.fetch(f"EXPLAIN EXECUTE {key['name']} ({nulls})")
            told = "\n".join(row[0] for row in plan)
            assert f"Index Scan using {key['key']}" in told, (key["name"], told)
            assert "Filter" not in told, (key["name"], told)
        await superuser.close()


def test_each_exception_is_a_statement_that_is_asked() -> None:
    assert set(EXCEPT) <= {case.key for case in CASES}
