"""Every wall stands, and the probe that says so fails once the wall is taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from libs.postgres.migrations import MIGRATIONS_FOLDER
from tests.contract.database.walls.changes import foreign_keys, triggers
from tests.contract.database.walls.grants import SOME_TRIGGER, grants
from tests.contract.database.walls.policies import flags, policies, powers
from tests.contract.database.walls.rights import defaults, views
from tests.contract.database.walls.wall import NoProbeError, Tenants, Wall, answer, undone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from libs.embedded import EmbeddedPostgres

KINDS = (grants, policies, flags, powers, triggers, foreign_keys, views, defaults)


@pytest.fixture(scope="module")
def tenants(two_tenants: tuple[UUID, UUID]) -> Tenants:
    return Tenants(*two_tenants)


@pytest.fixture(scope="module")
async def prober(postgres: EmbeddedPostgres, database_name: str) -> AsyncIterator[Any]:
    """A superuser whose statements are planned anew each time: probes change what they mean."""
    connection = await asyncpg.connect(
        postgres.superuser_dsn(database_name), statement_cache_size=0
    )
    # What is granted on a database itself is not copied with it.
    script = MIGRATIONS_FOLDER / "bootstrap_database.sql"
    await connection.execute(script.read_text(encoding="utf-8"))
    yield connection
    await connection.close()


async def broken(prober: Any, walls: list[Wall]) -> list[str]:
    """What does not stand, and what stands although it was taken away."""
    found = []
    for wall in walls:
        told = await answer(prober, wall, removed=False)
        if told != wall.expected:
            found.append(f"{wall.name}: {told}, not {wall.expected}")
        if await answer(prober, wall, removed=True) == wall.expected:
            found.append(f"{wall.name}: {wall.expected} even after {wall.removal}")
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_wall_stands_and_its_probe_fails_without_it(
    prober: Any, tenants: Tenants, kind: Any
) -> None:
    walls = await kind(prober, tenants)
    assert walls
    found = await broken(prober, walls)
    assert not found, "\n".join(found)


async def test_table_that_forgot_its_walls_is_found(prober: Any, tenants: Tenants) -> None:
    async with undone(prober):
        await prober.execute(
            "CREATE TABLE forgetful (tenant_id uuid, document jsonb);"
            f"INSERT INTO forgetful VALUES ('{tenants.own}'), ('{tenants.other}')"
        )
        walls = [wall for wall in await flags(prober, tenants) if "forgetful" in wall.name]
        assert [await answer(prober, wall, removed=False) for wall in walls] == ["SELECT 2"] * 2


@pytest.mark.parametrize(
    ("kind", "statement"),
    [
        (policies, "CREATE POLICY another ON tenant USING (true)"),
        (triggers, f"CREATE TRIGGER another BEFORE UPDATE ON tenant FOR EACH ROW {SOME_TRIGGER}"),
    ],
)
async def test_object_for_which_nobody_wrote_a_probe_is_an_error(
    prober: Any, tenants: Tenants, kind: Any, statement: str
) -> None:
    async with undone(prober):
        await prober.execute(statement)
        with pytest.raises(NoProbeError, match="another"):
            await kind(prober, tenants)


async def test_grant_that_the_table_does_not_know_is_found(prober: Any, tenants: Tenants) -> None:
    async with undone(prober):
        await prober.execute("CREATE TABLE another (); GRANT SELECT ON another TO PUBLIC")
        walls = [wall for wall in await grants(prober, tenants) if "TABLE another" in wall.name]
        assert any([await broken(prober, [wall]) for wall in walls])
