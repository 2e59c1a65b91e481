"""One database for all of these tests, which only look: what they write is rolled back."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import pytest

from tests.contract.plans.sample import Sample, take_sample
from tests.contract.plans.watching import Watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from libs.embedded import EmbeddedPostgres
    from tests.conftest import Connect, NewDatabase

    Watch: TypeAlias = Callable[..., AbstractAsyncContextManager[Watched]]

# Every session of the database sends the plan of each statement, with what it read, to its client.
TELL_PLANS = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
}


@pytest.fixture(scope="session")
async def database_name(
    postgres: EmbeddedPostgres, new_database: NewDatabase
) -> AsyncIterator[str]:
    async with new_database() as name:
        superuser = await asyncpg.connect(postgres.superuser_dsn(name))
        await fill(superuser)
        # Into the visibility map too, as a database that has run for a while is.
        await superuser.execute("VACUUM ANALYZE")
        await tell_plans(superuser, name)
        await superuser.close()
        yield name


async def fill(superuser: Any) -> None:
    """Put in the rows of all of these tests."""
    for file in ("data.sql", "recent.sql"):
        await superuser.execute(Path(__file__).with_name(file).read_text(encoding="utf-8"))


async def tell_plans(superuser: Any, database_name: str) -> None:
    """Let every session that begins now send its plans."""
    for setting, value in TELL_PLANS.items():
        await superuser.execute(f"ALTER DATABASE {database_name} SET {setting} = '{value}'")


@pytest.fixture(scope="session")
async def samples(postgres: EmbeddedPostgres, database_name: str) -> dict[str, Sample]:
    """Of the tenant with one in a hundred of the rows, and of one with one in nine."""
    superuser = await asyncpg.connect(postgres.superuser_dsn(database_name))
    taken = {
        "small": await take_sample(superuser, 1),
        "large": await take_sample(superuser, 2),
        "removed": await take_sample(superuser, 11),
    }
    await superuser.close()
    return taken


@pytest.fixture(scope="session")
async def table_sizes(postgres: EmbeddedPostgres, database_name: str) -> dict[str, float]:
    """Rows of each table and partition, also by the names of its indexes."""
    superuser = await asyncpg.connect(postgres.superuser_dsn(database_name))
    rows = await superuser.fetch(
        "SELECT c.relname, t.reltuples FROM pg_class AS t"
        " LEFT JOIN pg_index AS i ON i.indrelid = t.oid"
        " JOIN pg_class AS c ON c.oid IN (t.oid, i.indexrelid)"
        " WHERE t.relkind = 'r' AND t.relnamespace = 'public'::regnamespace"
    )
    await superuser.close()
    return dict(rows)


@pytest.fixture
def watch(connect: Connect, table_sizes: dict[str, float]) -> Watch:
    """A watched connection as a role, in a transaction that is rolled back.

    `plan_cache_mode` says whether statements are planned for their values or once for all: a
    service meets both, and so must every plan that is tested.
    """

    @asynccontextmanager
    async def watched(role: str, plan_cache_mode: str) -> AsyncIterator[Watched]:
        async with connect(role) as connection:
            await connection.execute(f"SET plan_cache_mode = {plan_cache_mode}")
            transaction = connection.transaction()
            await transaction.start()
            try:
                yield Watched(connection, table_sizes)
            finally:
                await transaction.rollback()

    return watched


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"], ids=["custom", "generic"])
def plan_cache_mode(request: Any) -> str:
    mode: str = request.param
    return mode
