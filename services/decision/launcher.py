"""The worker of launches: decides about members, batch by batch, until nobody is left.

No mark is written for a batch: a member without a decision is what is missing, and a decision is
unique for a launch and person. A process remembers in memory up to which position it found
everybody decided about; one that starts, or takes over, begins at the first member and passes over
those who are.

Events come first. In a turn, a tenant gets one batch of one launch; after it the worker rests for
as long as the turn took, and a launch does not run far ahead of its messages (store/members.py).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from libs.relay.outage import Outage, problem_of
from libs.rpc.errors import ConflictError, LeoError, UnavailableError
from services.decision.domain.launching import Launch
from services.decision.store import DecidedElsewhereError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from services.decision.store import DecisionStore, LaunchFinder

BATCH_COUNT_MAX: Final = 500
# Between turns in which there was nothing to do.
INTERVAL_SECONDS: Final = 1.0
TURN_TIMEOUT: Final = timedelta(seconds=60)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Place:
    """Where a launch is.

    Attributes:
        position: everybody before it is decided about.
        batch_count: how many come next: less after a failure, until who fails stands alone.
        gives_up: who stands alone there failed, and gets a decision that says so.
    """

    position: int = 0
    batch_count: int = BATCH_COUNT_MAX
    gives_up: bool = False


class Launcher:
    """Works on the launches of all tenants. Several may run at once."""

    def __init__(
        self,
        store: DecisionStore,
        finder: LaunchFinder,
        ring: Callable[[UUID, Sequence[UUID]], None] | None = None,
    ) -> None:
        """Make the worker of a process; `ring` hears which decisions act, once committed."""
        self._store = store
        self._finder = finder
        self._ring = ring
        self._places: dict[UUID, dict[UUID, _Place]] = {}
        # Of each tenant, the launch that had the last turn.
        self._last: dict[UUID, UUID] = {}
        self._outage = Outage("launching")

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            began_seconds = time.monotonic()
            try:
                is_busy = await self.turn()
            except UnavailableError as error:
                self._outage.begin(problem_of(error))
                is_busy = False
            else:
                self._outage.end()
            spent_seconds = time.monotonic() - began_seconds
            await asyncio.sleep(spent_seconds if is_busy else INTERVAL_SECONDS)

    async def turn(self) -> bool:
        """Give each tenant that has launches one batch; whether any got further.

        Raises:
            UnavailableError: the database is away.
        """
        tenant_ids = await self._finder.tenants()
        for gone in self._places.keys() - set(tenant_ids):
            del self._places[gone]
            self._last.pop(gone, None)
        is_busy = False
        for tenant_id in tenant_ids:
            try:
                async with self._finder.turn(tenant_id, timeout=TURN_TIMEOUT) as is_ours:
                    is_busy |= is_ours and await self._work_for(tenant_id)
            except UnavailableError:
                raise
            except LeoError as error:
                # One tenant's trouble is not the others'.
                log.warning("turn failed", tenant_id=str(tenant_id), problem=problem_of(error))
        return is_busy

    async def _work_for(self, tenant_id: UUID) -> bool:
        launch_ids = await self._store.running_launches(tenant_id)
        places = self._places.get(tenant_id, {})
        self._places[tenant_id] = places = {
            launch_id: places.get(launch_id, _Place()) for launch_id in launch_ids
        }
        last = self._last.get(tenant_id)
        # In turn: those behind the last one first.
        behind = [launch_id for launch_id in launch_ids if last is None or launch_id > last]
        for launch_id in [*behind, *launch_ids[: len(launch_ids) - len(behind)]]:
            if await self._decide(tenant_id, launch_id, places[launch_id]):
                self._last[tenant_id] = launch_id
                return True
        return False

    async def _decide(self, tenant_id: UUID, launch_id: UUID, place: _Place) -> bool:
        """One batch; whether the next one finds another state than this one."""
        try:
            progress = await self._store.decide_members(
                tenant_id,
                launch_id,
                first=place.position,
                count_max=place.batch_count,
                judge=Launch.give_up if place.gives_up else Launch.decide,
            )
        except UnavailableError:
            raise
        except (ConflictError, DecidedElsewhereError):
            # Somebody else decides about them: the next turn finds what they did.
            return True
        except Exception as error:
            log.exception(
                "deciding failed",
                tenant_id=str(tenant_id),
                launch_id=str(launch_id),
                position=place.position,
                count=place.batch_count,
            )
            place.gives_up = place.batch_count == 1 and not isinstance(error, LeoError)
            place.batch_count = max(1, place.batch_count // 2)
            return True
        if progress is None:
            return False
        if progress.acting and self._ring is not None:
            self._ring(tenant_id, progress.acting)
        place.position = progress.next_position
        place.gives_up = False
        place.batch_count = min(place.batch_count * 2, BATCH_COUNT_MAX)
        if progress.is_over:
            log.info("launched", tenant_id=str(tenant_id), launch_id=str(launch_id))
        return True
