"""What a statement reads depends on what it asks for, not on how much there is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libs.postgres.plans import plan_along_indexes
from libs.postgres.queries import load_queries
from tests.contract.plans.cases import CASES, NOT_ASKED, Case

if TYPE_CHECKING:
    from tests.contract.plans.conftest import Watch
    from tests.contract.plans.sample import Sample
    from tests.contract.plans.watching import Watched

ROOT = Path(__file__).parents[3]


def queries_of(folder: str) -> Any:
    return load_queries(str(ROOT / folder / "queries.py"))


def names_in(folder: str) -> set[str]:
    """Without the cursors that aiosql makes beside each statement that selects."""
    found = {name for name in queries_of(folder).available_queries if name != "_"}
    return {
        name for name in found if name.removesuffix("_cursor") == name or name[:-7] not in found
    }


async def run(connection: Any, folder: str, name: str, values: dict[str, Any]) -> None:
    """As the service runs it, to its last row."""
    answer = getattr(queries_of(folder), name)(connection, **values)
    if hasattr(answer, "__aiter__"):
        async for _ in answer:
            pass
    else:
        await answer


async def ask(watched: Watched, case: Case, sample: Sample) -> None:
    """In a transaction; what goes before the statement does not count."""
    if not case.across:
        await watched.enter(sample.tenant_id)
    if case.along_indexes:
        await plan_along_indexes(watched.connection)
    await watched.forget()
    values = {"tenant_id": sample.tenant_id} | dict(case.values(sample))
    await run(watched.connection, case.file, case.name, values)


ASKED = [(case, tenant) for case in CASES for tenant in case.tenants]


@pytest.mark.parametrize(
    ("case", "tenant"), ASKED, ids=[f"{case.key}-{tenant}" for case, tenant in ASKED]
)
async def test_a_statement_reads_what_it_asks_for(
    watch: Watch, samples: dict[str, Sample], case: Case, tenant: str, plan_cache_mode: str
) -> None:
    if case.planned_for_values:
        plan_cache_mode = "auto"
    sample = samples[tenant]
    async with watch(case.asking_role, plan_cache_mode) as watched:
        await ask(watched, case, sample)
        assert getattr(queries_of(case.file), case.name).sql in await watched.statements()
        assert not await watched.complaints(case.row_count_max)


def test_every_statement_is_asked_or_has_a_reason() -> None:
    folders = {
        str(path.parent.relative_to(ROOT))
        for top in ("libs", "services")
        for path in (ROOT / top).rglob("queries.sql")
    }
    there = {f"{folder}:{name}" for folder in folders for name in names_in(folder)}
    asked = {case.key for case in CASES}
    left_out = {key.removesuffix(":*") for key in NOT_ASKED if key.endswith(":*")}
    not_asked = {key for key in NOT_ASKED if not key.endswith(":*")}
    assert {
        key for key in there - asked - not_asked if key.split(":")[0] not in left_out
    } == set(), "neither asked nor given a reason"
    assert asked & not_asked == set(), "asked, so it needs no reason"
    assert asked | not_asked <= there, "not there any more"
    assert left_out <= folders, "not there any more"
