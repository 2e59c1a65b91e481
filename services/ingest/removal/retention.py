"""Retention: what is older than its time goes, once a day, and never at the cost of others."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import orjson
import structlog
from uuid_utils.compat import uuid7

from libs import audit
from libs.postgres.queries import load_queries
from libs.relay.outage import problem_of
from libs.rpc.errors import UnavailableError
from services.ingest.removal.batches import BATCH_TIMEOUT, Batches

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from libs.postgres.database import Database
    from services.ingest.settings import RemovalSettings, RetentionSettings

_QUERIES = load_queries(__file__)
ACTOR: Final = "ingest"
FIRST_ID: Final = UUID(int=0)
# So that processes that start together, and tenants' nights, do not all begin at once.
JITTER: Final = timedelta(hours=1)
INTERVAL: Final = timedelta(days=1)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """Rows that are removed together.

    Attributes:
        statement: removes one batch.
        age: the setting that says how old they get.
    """

    name: str
    statement: Any
    age: Callable[[RetentionSettings], timedelta]


# In this order: what stories, launches and snapshots name is free once these are gone.
KINDS: Final = (
    Kind("stories", _QUERIES.remove_stories, lambda settings: settings.stories),
    Kind("launches", _QUERIES.remove_launches, lambda settings: settings.stories),
    Kind("snapshots", _QUERIES.remove_snapshots, lambda settings: settings.snapshots),
    Kind("receipts", _QUERIES.remove_receipts, lambda settings: settings.stories),
    Kind(
        "profile_versions",
        _QUERIES.remove_profile_versions,
        lambda settings: settings.profile_versions,
    ),
    Kind(
        "consent_versions",
        _QUERIES.remove_consent_versions,
        lambda settings: settings.consent_versions,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantReport:
    """What one run removed of a tenant, or would: rows by table.

    Attributes:
        problem: why it was not done to the end; empty if it was.
    """

    tenant_id: UUID
    name: str
    row_counts: dict[str, int]
    problem: str


class Retention:
    """Removes what is older than its time, of every tenant. Several may run at once."""

    def __init__(
        self,
        database: Database,
        finder: Database,
        retention: RetentionSettings,
        removal: RemovalSettings,
    ) -> None:
        """Make the retention of a process.

        Args:
            database: as ingest.
            finder: the same database as leo_finder.
            retention: how long rows are kept.
            removal: how large batches are.
        """
        self._database = database
        self._finder = finder
        self._retention = retention
        self._removal = removal
        self._batches = Batches(removal.batch_count)

    async def run(self) -> None:
        """Remove once a day until cancelled, the first time within an hour."""
        pause = timedelta(0)
        while True:
            await asyncio.sleep((pause + JITTER * random.random()).total_seconds())  # noqa: S311
            try:
                reports = await self.remove()
            except Exception as error:  # noqa: BLE001 - whatever it is, there is another day
                log.warning("retention failed", problem=problem_of(error))
            else:
                # Also where nothing was old, so that the log tells when it last ran.
                rows = sum(sum(report.row_counts.values()) for report in reports)
                log.info("retention ran", tenant_count=len(reports), row_count=rows)
            pause = INTERVAL - JITTER / 2

    async def remove(self, *, dry_run: bool = False) -> list[TenantReport]:
        """Remove what is older than its time; what went, by tenant.

        Args:
            dry_run: do it, and take every batch back: what is told is what would go.

        Raises:
            UnavailableError: the database is away.
        """
        async with self._finder.across_tenants() as connection:
            tenant_ids = [
                row["tenant_id"]
                async for row in _QUERIES.find_tenants(connection, states=["active", "suspended"])
            ]
        return [await self._remove_of(tenant_id, dry_run=dry_run) for tenant_id in tenant_ids]

    async def _remove_of(self, tenant_id: UUID, *, dry_run: bool) -> TenantReport:
        async with self._database.tenant(tenant_id, must_exist=False) as connection:
            tenant = await _QUERIES.select_tenant(connection, tenant_id=tenant_id)
        counts: Counter[str] = Counter()
        problem = ""
        try:
            for kind in KINDS:
                await self._remove_kind(tenant_id, kind, counts, dry_run=dry_run)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - one tenant's trouble is not the others'
            problem = problem_of(error)
            log.warning("retention failed", tenant_id=str(tenant_id), problem=problem)
        if counts and not dry_run:
            await self._record(tenant_id, counts)
            log.info("retention removed", tenant_id=str(tenant_id), **counts)
        return TenantReport(
            tenant_id=tenant_id, name=tenant["name"], row_counts=dict(counts), problem=problem
        )

    async def _record(self, tenant_id: UUID, counts: Counter[str]) -> None:
        """One audit entry that sums up those of the batches, for people."""
        async with self._database.tenant(tenant_id) as connection:
            await audit.append(
                connection,
                kind="retention_ended",
                actor=ACTOR,
                call_id="",
                details={"row_counts": dict(counts)},
            )

    async def _remove_kind(
        self, tenant_id: UUID, kind: Kind, counts: Counter[str], *, dry_run: bool
    ) -> None:
        async with self._database.tenant(tenant_id) as connection:
            before = await _QUERIES.time_before(connection, age=kind.age(self._retention))
        after: UUID | None = FIRST_ID
        while after is not None:
            place = after

            async def batch(count_max: int, place: UUID = place) -> dict[str, Any] | None:
                return await self._batch(tenant_id, kind, before, place, count_max, dry_run=dry_run)

            told = await self._batches.run(batch)
            if told is None:
                # Another process is at it.
                return
            counts.update(told["row_counts"])
            after = UUID(told["last"]) if told["last"] else None
            if told["row_counts"]:
                await asyncio.sleep(self._removal.batch_pause.total_seconds())

    async def _batch(
        self,
        tenant_id: UUID,
        kind: Kind,
        before: datetime,
        after: UUID,
        count_max: int,
        *,
        dry_run: bool,
    ) -> dict[str, Any] | None:
        """One batch in one transaction; what the door tells, or None where another one is at it."""
        async with self._database.tenant(tenant_id, timeout=BATCH_TIMEOUT) as connection:
            if not await _QUERIES.try_lock(connection, tenant_id=tenant_id):
                return None
            step = connection.transaction()
            await step.start()
            text = await kind.statement(
                connection, entry_id=uuid7(), before=before, after=after, count_max=count_max
            )
            await (step.rollback() if dry_run else step.commit())
        told: dict[str, Any] = orjson.loads(text)
        return told
