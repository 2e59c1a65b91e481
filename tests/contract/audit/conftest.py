"""A recorded tenant, made once; each test works on a copy of its database."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from uuid_utils.compat import uuid7

from libs.postgres import roles
from tests.contract.audit.site import Recorded, Site, opened, record
from tests.contract.audit.tampering import Tamperer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from libs.embedded import EmbeddedPostgres
    from tests.conftest import Connect, NewDatabase

    DsnOfRole: TypeAlias = Callable[[str], str]


@pytest.fixture(scope="session")
def signing_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
async def original(
    postgres: EmbeddedPostgres,
    new_database: NewDatabase,
    signing_key: Ed25519PrivateKey,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[str, Path, Recorded]]:
    """A database with two recorded tenants, all of it sealed, with a checkpoint at each stage."""
    file = tmp_path_factory.mktemp("audit") / "checkpoints.jsonl"
    async with new_database() as name:
        async with opened(lambda role: postgres.dsn(role, name), signing_key, file) as site:
            migrate = await asyncpg.connect(postgres.dsn(roles.MIGRATE, name))
            try:
                recorded = await record(site, migrate, uuid7())
                await site.seal()
                await site.checkpoint()
                await record(site, migrate, uuid7())
                await site.seal()
                await site.checkpoint()
            finally:
                await migrate.close()
        yield name, file, recorded


@pytest.fixture
async def database_name(
    postgres: EmbeddedPostgres, original: tuple[str, Path, Recorded]
) -> AsyncIterator[str]:
    """A copy for one test."""
    name = f"leo_{uuid7().hex}"
    server = await asyncpg.connect(postgres.superuser_dsn("postgres"))
    try:
        await server.execute(f"CREATE DATABASE {name} TEMPLATE {original[0]} OWNER {roles.OWNER}")
        yield name
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()


@pytest.fixture
async def site(
    postgres: EmbeddedPostgres,
    database_name: str,
    original: tuple[str, Path, Recorded],
    signing_key: Ed25519PrivateKey,
    tmp_path: Path,
) -> AsyncIterator[Site]:
    """The copy, as its services have it, with checkpoints of its own."""
    file = tmp_path / "checkpoints.jsonl"
    shutil.copy(original[1], file)
    async with opened(lambda role: postgres.dsn(role, database_name), signing_key, file) as site:
        yield site


@pytest.fixture
def recorded(original: tuple[str, Path, Recorded]) -> Recorded:
    """What was recorded of the first tenant."""
    return original[2]


@pytest.fixture
async def migrate(connect: Connect) -> AsyncIterator[Any]:
    """A connection of leo_migrate with its own rights: policies do not bind it."""
    async with connect(roles.MIGRATE) as connection:
        yield connection


@pytest.fixture
async def tamperer(migrate: Any, recorded: Recorded) -> Tamperer:
    """A forger, at work on the copy."""
    return await Tamperer(migrate, recorded.tenant_id).open()
