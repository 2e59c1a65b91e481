"""The loop: find what is due, claim, send, write results, and end what nobody came back from."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from libs.postgres.queries import load_queries
from libs.relay.outage import Outage, problem_of
from libs.rpc.errors import LeoError, UnavailableError
from services.dispatch.channels.contract import SendResult

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from uuid import UUID

    from libs.postgres.database import Database
    from services.dispatch.channels.contract import Clients
    from services.dispatch.machine.claim import Claimed, Claims
    from services.dispatch.machine.results import Results
    from services.dispatch.machine.settings import MachineSettings

_QUERIES = load_queries(__file__)
RESULT_RETRY_SECONDS = 0.2
BATCH_FAILED = "claiming its batch failed"
NOT_STARTED = SendResult(
    kind="retry_at",
    provider_class="R",
    code="not_started",
    reason="given up before the call began: too much of the lease had passed",
)

log = structlog.get_logger(__name__)


class _Lane:
    """What runs for one account.

    Attributes:
        in_flight_count: claimed, and not yet written down.
        capacity: how many may be; the account says it at each claim.
        again: something became due while the pump was at work.
    """

    __slots__ = ("again", "capacity", "changed", "in_flight_count")

    def __init__(self) -> None:
        self.in_flight_count = 0
        self.capacity = 1
        self.again = False
        self.changed = asyncio.Event()


class Machine:
    """Sends what is due, as long as it runs. Several may run at once."""

    def __init__(
        self,
        *,
        finder: Database,
        claims: Claims,
        results: Results,
        clients: Clients,
        settings: MachineSettings,
    ) -> None:
        self._finder = finder
        self._claims = claims
        self._results = results
        self._clients = clients
        self._settings = settings
        self._half_lease = settings.lease / 2
        self._lanes: defaultdict[tuple[UUID, UUID], _Lane] = defaultdict(_Lane)
        self._pumps: dict[tuple[UUID, UUID], asyncio.Task[None]] = {}
        self._sends: set[asyncio.Task[None]] = set()
        self._done: defaultdict[UUID, list[tuple[Claimed, SendResult]]] = defaultdict(list)
        self._writers: dict[UUID, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._outage = Outage("sending")

    def wake(self) -> None:
        """Look at once: there may be work. The doorbell rings this."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; then finish what is in flight and claim nothing more."""
        try:
            while True:
                self._wake.clear()
                await self._look()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.poll_interval.total_seconds()):
                        await self._wake.wait()
        finally:
            self._stopping = True
            await self._finish()

    async def _look(self) -> None:
        """One look at the database: begin to send where something is due, end what expired."""
        try:
            async with self._finder.across_tenants() as connection:
                due = [
                    (row["tenant_id"], row["account_id"])
                    async for row in _QUERIES.find_due(connection)
                ]
                expired = [
                    row["tenant_id"] async for row in _QUERIES.find_expired_leases(connection)
                ]
            for tenant_id in expired:
                await self._results.reconcile(tenant_id)
        except LeoError as error:
            self._outage.begin(problem_of(error))
            return
        self._outage.end()
        for key in due:
            self._lanes[key].again = True
            if key not in self._pumps:
                self._pumps[key] = asyncio.create_task(self._pump(key))

    async def _pump(self, key: tuple[UUID, UUID]) -> None:
        """Claim and send for one account until nothing is due."""
        lane = self._lanes[key]
        try:
            while lane.again and not self._stopping:
                lane.again = False
                await self._drain(key, lane)
        except UnavailableError as error:
            self._outage.begin(problem_of(error))
        except LeoError as error:
            log.warning("claiming failed", problem=problem_of(error))
        finally:
            del self._pumps[key]
            if not lane.in_flight_count:
                self._lanes.pop(key, None)

    async def _drain(self, key: tuple[UUID, UUID], lane: _Lane) -> None:
        tenant_id, account_id = key
        while not self._stopping:
            free = lane.capacity - lane.in_flight_count
            # In batches: a claim for each call that ends would cost a transaction each.
            if lane.in_flight_count and free < max(1, lane.capacity // 4):
                lane.changed.clear()
                await lane.changed.wait()
                continue
            wanted = min(max(free, 1), self._settings.claim_count_max)
            try:
                claim = await self._claims.claim(tenant_id, account_id, wanted)
            except LeoError:
                raise
            except Exception:
                log.exception("batch failed", tenant_id=str(tenant_id))
                await self._one_by_one(key, lane, wanted)
                return
            lane.capacity = claim.capacity
            for claimed in claim.claimed:
                self._begin(lane, claimed)
            for delivery_id, reason in claim.broken.items():
                if await self._claims.count_failure(tenant_id, delivery_id, reason):
                    await self._claims.postpone(tenant_id, delivery_id, reason)
            if claim.found_count < wanted:
                return

    async def _one_by_one(self, key: tuple[UUID, UUID], lane: _Lane, count_max: int) -> None:
        """Find the row that a batch failed with."""
        tenant_id, account_id = key
        for delivery_id in await self._claims.due_ids(tenant_id, account_id, count_max):
            # Counted first: a row that ends the whole process is counted as well.
            if not await self._claims.count_failure(tenant_id, delivery_id, BATCH_FAILED):
                continue
            try:
                claim = await self._claims.claim(tenant_id, account_id, 1, only=delivery_id)
            except LeoError:
                raise
            except Exception as error:
                log.exception("claim failed", delivery_id=str(delivery_id))
                reason = f"claiming it failed: {type(error).__name__}"
                await self._claims.postpone(tenant_id, delivery_id, reason)
                continue
            for claimed in claim.claimed:
                self._begin(lane, claimed)
            for reason in claim.broken.values():
                await self._claims.postpone(tenant_id, delivery_id, reason)

    def _begin(self, lane: _Lane, claimed: Claimed) -> None:
        lane.in_flight_count += 1
        self._keep(self._send(lane, claimed))

    async def _send(self, lane: _Lane, claimed: Claimed) -> None:
        """One call to the provider; no database session is held while it runs."""
        try:
            result = await self._call(claimed)
        finally:
            lane.in_flight_count -= 1
            lane.changed.set()
        self._done[claimed.tenant_id].append((claimed, result))
        if claimed.tenant_id not in self._writers:
            self._writers[claimed.tenant_id] = asyncio.create_task(self._write(claimed.tenant_id))

    async def _call(self, claimed: Claimed) -> SendResult:
        # No late starts: whoever slept gives the row up, and says so.
        if self._spent(claimed) > self._half_lease:
            return NOT_STARTED
        try:
            return await claimed.channel.send(
                claimed.message, claimed.account, self._clients, timeout=self._half_lease
            )
        except Exception as error:
            log.exception("adapter failed", delivery_id=str(claimed.delivery_id))
            return SendResult(
                kind="unknown",
                provider_class="AMB",
                code="adapter",
                reason=f"the adapter failed: {type(error).__name__}",
            )

    async def _write(self, tenant_id: UUID) -> None:
        """Write a tenant's results, those that come meanwhile with the next transaction."""
        # What else this turn of the loop brings comes along.
        await asyncio.sleep(0)
        while done := self._done.pop(tenant_id, []):
            await self._write_batch(tenant_id, done)
        del self._writers[tenant_id]

    async def _write_batch(self, tenant_id: UUID, done: list[tuple[Claimed, SendResult]]) -> None:
        """Write results, however long the database is away: a late answer still is one."""
        while True:
            try:
                await self._results.write(tenant_id, done)
            except LeoError as error:
                self._outage.begin(problem_of(error))
                await asyncio.sleep(RESULT_RETRY_SECONDS)
            except Exception:
                log.exception("writing results failed", tenant_id=str(tenant_id), count=len(done))
                if len(done) > 1:
                    for one in done:
                        await self._write_batch(tenant_id, [one])
                    return
                if self._spent(done[0][0]) > self._settings.lease:
                    # What cannot be written by itself either is in doubt from now on.
                    return
                await asyncio.sleep(RESULT_RETRY_SECONDS)
            else:
                return

    async def _finish(self) -> None:
        """Let calls in flight end and write their results, as long as a lease lasts."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.lease.total_seconds()):
                while running := {*self._pumps.values(), *self._sends, *self._writers.values()}:
                    for lane in self._lanes.values():
                        lane.changed.set()
                    await asyncio.wait(running)

    @staticmethod
    def _spent(claimed: Claimed) -> timedelta:
        """How much of its lease is over, by this process's own clock."""
        return timedelta(seconds=time.monotonic() - claimed.claimed_seconds)

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)
