"""A journey is read by indexes alone, whoever asks; the ledger is read in several processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from libs.postgres import roles
from tests.contract.plans.cases import BUSY_COUNT

if TYPE_CHECKING:
    from tests.conftest import Connect
    from tests.contract.plans.conftest import Watch
    from tests.contract.plans.sample import Sample

# The conditions by which docs/reference/journey.md reads it, the rows that there are of the small
# tenant's busy person, and the rows that a step may read.
QUESTIONS: dict[str, tuple[str, str, int, int]] = {
    "of an event": ("v_journey", "event_id = ($2::uuid[])[1]", 5, 10),
    "of a person": ("v_journey", "profile_id = $3", 407, 2 * BUSY_COUNT),
    "of a person in a launch": ("v_journey", "launch_id = $4 AND profile_id = $3", 1, 10),
    "how far it got": ("v_delivery_reached", "delivery_id = ANY($5)", 50, 50),
}


@pytest.mark.parametrize("role", [roles.AUDITOR, roles.DECISION])
@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_story_is_told_by_indexes(
    watch: Watch, samples: dict[str, Sample], role: str, question: str
) -> None:
    view, condition, row_count, row_count_max = QUESTIONS[question]
    sample = samples["small"]
    # Asked by people, once each.
    async with watch(role, "auto") as watched:
        if role != roles.AUDITOR:
            await watched.enter(sample.tenant_id)
        await watched.forget()
        rows = await watched.connection.fetch(
            "WITH given AS (SELECT $2::uuid[], $3::uuid, $4::uuid, $5::uuid[])"
            f" SELECT * FROM {view} WHERE tenant_id = $1 AND {condition}",
            sample.tenant_id,
            sample.event_ids,
            sample.profile_ids[0],
            sample.launch_id,
            sample.delivery_ids,
        )
        assert len(rows) == row_count
        assert not await watched.complaints(row_count_max)


async def test_unsealed_entries_are_looked_for_in_front_of_the_watermark(
    watch: Watch, samples: dict[str, Sample], plan_cache_mode: str
) -> None:
    async with watch(roles.AUDITOR, plan_cache_mode) as watched:
        await watched.forget()
        rows = await watched.connection.fetch("SELECT * FROM ledger_seals_v1('0')")
        assert [row["tenant_id"] for row in rows] == [samples["small"].tenant_id] * 10
        assert not await watched.complaints(20)


async def test_the_ledgers_parts_run_in_processes_of_their_own(connect: Connect) -> None:
    async with connect(roles.AUDITOR) as auditor:
        body = await auditor.fetchval(
            "SELECT prosrc FROM pg_proc WHERE oid = 'ledger_breach(interval)'::regprocedure"
        )
        plan = await auditor.fetch(f"EXPLAIN {body.replace('grace', 'interval $$0$$')}")
    appends: list[Any] = [row for row in plan if "Parallel Append" in row[0]]
    assert len(appends) == 1
