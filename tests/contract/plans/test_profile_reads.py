"""One person's events: sixteen partitions, each asked by its index for no more than is wanted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from libs.postgres import roles
from tests.contract.plans.cases import BENCH
from tests.contract.plans.test_plans import run

if TYPE_CHECKING:
    from tests.contract.plans.conftest import Watch
    from tests.contract.plans.sample import Sample

PARTITION_COUNT = 16
COUNT_MAX = 30


async def test_each_partition_gives_its_newest(
    watch: Watch, samples: dict[str, Sample], plan_cache_mode: str
) -> None:
    sample = samples["small"]
    async with watch(roles.DECISION, plan_cache_mode) as watched:
        await watched.enter(sample.tenant_id)
        await watched.forget()
        values: dict[str, Any] = {
            "tenant_id": sample.tenant_id,
            "ext_id": sample.ext_ids[0],
            "since": datetime.now(UTC) - timedelta(days=30),
            "count_max": COUNT_MAX,
        }
        await run(watched.connection, BENCH, "events_of_profile", values)
        scans = await watched.scans()
    assert {scan.target for scan in scans} == {
        f"marketing_event_p{number:02}" for number in range(PARTITION_COUNT)
    }
    assert {scan.how for scan in scans} == {"Index Scan"}
    # Each has its next one at hand.
    assert sum(scan.row_count for scan in scans) <= COUNT_MAX + PARTITION_COUNT
    assert sum(scan.page_count for scan in scans) <= 4 * PARTITION_COUNT + 2 * COUNT_MAX
