"""The sweeper of one hop: nothing that was committed stays behind.

Each transaction stamps its rows with its id (xid8). The watermark of a tenant and hop is such an
id: what any transaction before it wrote has been handed over. It never passes the oldest
transaction that still runs, because that one may commit rows behind all newer ones.

In a turn, a tenant gets one look and one batch handed over, so that no tenant waits for the backlog
of another. A call that fails as a whole halves the tenant's next batch, until the item that fails
stands alone; each success doubles the batch again. An item that fails alone, or that the receiver
refuses, is left out for a while that doubles, is then tried by itself, and the others go on.

The watermark waits for it all the same, and looking gets dearer with what lies in front of the
watermark. So the receiver must make something of every item in the end: BatchActivate writes a
decision with the outcome ERROR where deciding fails again and again, BatchDispatch writes a
delivery for every acting decision.

A transaction id means nothing in another cluster: whoever loads a dump there (a physical backup
keeps the ids) empties relay_watermark first.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import grpc
import structlog

from leo_sdk import LeoRpcError
from libs.postgres.queries import load_queries
from libs.relay.handover import BATCH_COUNT_MAX
from libs.relay.outage import Outage, problem_of
from libs.rpc.errors import LeoError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from libs.postgres.database import Database
    from libs.relay.handover import Handover

_QUERIES = load_queries(__file__)

# Between rounds that found nothing to hand over.
INTERVAL_SECONDS = 1.0
GRACE = timedelta(seconds=2)
# For the whole of a turn: a look, which may have much to read, and a call.
LOOK_TIMEOUT = timedelta(seconds=30)
TURN_TIMEOUT = timedelta(seconds=60)
SETBACK_SECONDS = 1.0
SETBACK_SECONDS_MAX = 60.0
# The receiver is not there, not for us or not now: no item is to blame.
_AWAY: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Hop:
    """What one hop looks for.

    Attributes:
        name: as in relay_watermark.
        find_tenants, select_missing: statements of queries.sql.
    """

    name: str
    find_tenants: Any
    select_missing: Any


ACTIVATE: Final = Hop(
    "activate", _QUERIES.find_tenants_to_activate, _QUERIES.select_events_without_decision
)
DISPATCH: Final = Hop(
    "dispatch", _QUERIES.find_tenants_to_dispatch, _QUERIES.select_decisions_without_delivery
)


@dataclass(frozen=True, slots=True)
class _Setback:
    """An item that failed alone, `count` times, and is left out until a time of the clock."""

    count: int
    until_seconds: float


class Sweeper:
    """Hands over what is missing, for one hop and all tenants. Several may run at once."""

    def __init__(
        self,
        database: Database,
        finder: Database,
        hop: Hop,
        hand_over: Handover,
        *,
        grace: timedelta = GRACE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make the sweeper of a process.

        Args:
            database: as the service that the hop starts from.
            finder: the same database as leo_finder.
            hop: ACTIVATE or DISPATCH.
            hand_over: the call.
            grace: how long a row is left to the doorbell.
            clock: seconds, for setbacks.
        """
        self._database = database
        self._finder = finder
        self._hop = hop
        self._hand_over = hand_over
        self._grace = grace
        self._clock = clock
        self._setbacks: dict[UUID, dict[UUID, _Setback]] = {}
        # Of tenants whose last calls failed; every other one gets whole batches.
        self._batch_counts: dict[UUID, int] = {}
        self._storage_outage = Outage("sweeping", hop=hop.name)
        self._receiver_outage = Outage("handing over", hop=hop.name)

    async def run(self) -> None:
        """Sweep until cancelled: again at once while there is something, else every second."""
        while True:
            try:
                busy = await self.sweep()
            except UnavailableError as error:
                self._storage_outage.begin(problem_of(error))
                busy = False
            else:
                self._storage_outage.end()
            if not busy:
                await asyncio.sleep(INTERVAL_SECONDS)

    async def sweep(self) -> bool:
        """Give each tenant that may have something missing one turn; whether any got further.

        Raises:
            UnavailableError: the database is away.
        """
        try:
            async with self._finder.across_tenants(timeout=LOOK_TIMEOUT) as connection:
                tenant_ids = [row["tenant_id"] async for row in self._hop.find_tenants(connection)]
        except UnavailableError:
            raise
        except LeoError as error:
            log.warning("looking for tenants failed", hop=self._hop.name, problem=problem_of(error))
            return False
        further = False
        for tenant_id in tenant_ids:
            try:
                further |= await self._turn(tenant_id)
            except UnavailableError:
                raise
            except LeoError as error:
                # One tenant's trouble is not the others'.
                log.warning(
                    "turn failed",
                    hop=self._hop.name,
                    tenant_id=str(tenant_id),
                    problem=problem_of(error),
                )
        return further

    async def _turn(self, tenant_id: UUID) -> bool:
        async with self._finder.across_tenants(timeout=TURN_TIMEOUT) as lock:
            if not await _QUERIES.try_lock(lock, hop=self._hop.name, tenant_id=str(tenant_id)):
                return False
            further = False
            for batch in await self._look(tenant_id):
                further |= await self._drive(tenant_id, batch)
            return further

    async def _look(self, tenant_id: UUID) -> list[list[UUID]]:
        """Advance the watermark as far as it goes; what is to be handed over next, call by call."""
        setbacks = self._setbacks.get(tenant_id, {})
        async with self._database.tenant(tenant_id, timeout=LOOK_TIMEOUT) as connection:
            mark = await _QUERIES.read_watermark(
                connection, tenant_id=tenant_id, hop=self._hop.name
            )
            missing = [
                row
                async for row in self._hop.select_missing(
                    connection,
                    tenant_id=tenant_id,
                    position=mark["position"],
                    grace=self._grace,
                    # Room for a batch behind those that are left out.
                    count_max=BATCH_COUNT_MAX + len(setbacks),
                )
            ]
            # What is missing also holds back where it is too young, or is left out for now.
            position = min([mark["horizon"], *(row["transaction_id"] for row in missing[:1])])
            if position > mark["position"]:
                await _QUERIES.advance_watermark(
                    connection, tenant_id=tenant_id, hop=self._hop.name, position=position
                )
        self._forget(tenant_id, {row["item_id"] for row in missing})
        due = [row["item_id"] for row in missing if row["is_due"]]
        fresh = [item_id for item_id in due if item_id not in setbacks]
        now = self._clock()
        again = [
            item_id
            for item_id in due
            if item_id in setbacks and setbacks[item_id].until_seconds <= now
        ]
        batch = fresh[: self._batch_counts.get(tenant_id, BATCH_COUNT_MAX)]
        return [ids for ids in (batch, again[:1]) if ids]

    async def _drive(self, tenant_id: UUID, ids: Sequence[UUID]) -> bool:
        """One call; whether the next turn finds another state than this one."""
        try:
            refused = await self._hand_over(tenant_id, ids)
        except Exception as error:  # noqa: BLE001  # a defect of one batch must not stop the others
            if isinstance(error, LeoRpcError) and error.code in _AWAY:
                self._receiver_outage.begin(problem_of(error))
                return False
            if len(ids) == 1:
                self._set_back(tenant_id, ids[0], problem_of(error))
            else:
                self._batch_counts[tenant_id] = len(ids) // 2
                log.warning(
                    "batch failed",
                    hop=self._hop.name,
                    tenant_id=str(tenant_id),
                    count=len(ids),
                    problem=problem_of(error),
                )
            return True
        self._receiver_outage.end()
        if tenant_id in self._batch_counts:
            self._batch_counts[tenant_id] *= 2
            if self._batch_counts[tenant_id] >= BATCH_COUNT_MAX:
                del self._batch_counts[tenant_id]
        for item_id, problem in refused.items():
            self._set_back(tenant_id, item_id, problem)
        return True

    def _set_back(self, tenant_id: UUID, item_id: UUID, problem: str) -> None:
        setbacks = self._setbacks.setdefault(tenant_id, {})
        before = setbacks.get(item_id)
        count = before.count + 1 if before else 1
        wait_seconds = min(SETBACK_SECONDS * 2.0 ** (count - 1), SETBACK_SECONDS_MAX)
        setbacks[item_id] = _Setback(count, self._clock() + wait_seconds)
        log.warning(
            "item failed",
            hop=self._hop.name,
            tenant_id=str(tenant_id),
            item_id=str(item_id),
            count=count,
            problem=problem,
        )

    def _forget(self, tenant_id: UUID, missing: set[UUID]) -> None:
        """Drop the setbacks of what is no longer missing."""
        kept = {
            item_id: setback
            for item_id, setback in self._setbacks.get(tenant_id, {}).items()
            if item_id in missing
        }
        if kept:
            self._setbacks[tenant_id] = kept
        else:
            self._setbacks.pop(tenant_id, None)
