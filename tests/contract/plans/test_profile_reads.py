"""One person's events: sixteen partitions, each asked by its index for no more than is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from uuid_utils.compat import uuid7

from libs.bench.profile_reads import READ_COUNT, events_of_people
from libs.postgres import roles
from libs.postgres.database import Database
from libs.postgres.settings import PostgresSettings
from tests.contract.plans.cases import BENCH
from tests.contract.plans.test_plans import run

if TYPE_CHECKING:
    from uuid import UUID

    from libs.embedded import EmbeddedPostgres
    from tests.conftest import NewDatabase
    from tests.contract.plans.conftest import Watch
    from tests.contract.plans.sample import Sample

PARTITION_COUNT = 16
COUNT_MAX = 30


@dataclass(frozen=True)
class Ground:
    tenant_id: UUID
    ingest: Database
    decision: Database
    event_count: int = 300


async def make_tenant(ingest: Database) -> UUID:
    tenant_id: UUID = uuid7()
    async with ingest.tenant(tenant_id, must_exist=False) as connection:
        await connection.execute(
            "INSERT INTO tenant (tenant_id, name, time_zone, state)"
            " VALUES ($1, 'reads', 'Asia/Ho_Chi_Minh', 'active')",
            tenant_id,
        )
    return tenant_id


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


async def test_the_bench_reads_what_it_wrote(
    postgres: EmbeddedPostgres, new_database: NewDatabase
) -> None:
    async with new_database() as name:

        async def opened(role: str) -> Database:
            settings = PostgresSettings(dsn=SecretStr(postgres.dsn(role, name)))
            return await Database.open(settings, application_name="test")

        ingest, decision = await opened(roles.INGEST), await opened(roles.DECISION)
        try:
            tenant_id = await make_tenant(ingest)
            reads = await events_of_people(Ground(tenant_id, ingest, decision))
            assert len(reads) == READ_COUNT
            assert [await read() for read in reads[:10]] == [COUNT_MAX] * 10
        finally:
            await ingest.close()
            await decision.close()
