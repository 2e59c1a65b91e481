"""One database for the tests of a module, two tenants with rows in every table, and a superuser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from tests.contract.database.rows import fill

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from libs.embedded import EmbeddedPostgres
    from tests.conftest import NewDatabase


@pytest.fixture(scope="module")
async def database_name(new_database: NewDatabase) -> AsyncIterator[str]:
    """Shared, because most of these tests only look; one that changes the schema makes its own."""
    async with new_database() as name:
        yield name


@pytest.fixture(scope="module")
async def superuser(postgres: EmbeddedPostgres, database_name: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(postgres.superuser_dsn(database_name))
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
async def two_tenants(superuser: Any) -> tuple[UUID, UUID]:
    return await fill(superuser), await fill(superuser)
