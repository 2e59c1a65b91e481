"""What providers tell by themselves: tried again until it is taken, and disturbed on purpose."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp

from libs.simulator.faults import FaultKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from libs.simulator.faults import Fault

# Calls at once; the receiver is a process on this machine.
WORKER_COUNT = 32
# A receiver that stays away must not fill the memory.
WAITING_COUNT_MAX = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One call that a provider makes.

    `render` gives body and headers of a try, of which the first has the number 0. After the last
    of `retry_intervals_seconds` the provider gives up.
    """

    provider: str
    account: str
    url: str
    render: Callable[[int], tuple[bytes, Mapping[str, str]]]
    retry_intervals_seconds: tuple[float, ...]
    timeout_seconds: float


@dataclass(slots=True, eq=False)
class _Job:
    webhook: Webhook
    generation: int
    retry: int = 0
    # Those that were held back until this one has been tried.
    overtaken: list[_Job] = field(default_factory=list)


class WebhookSender:
    """Sends webhooks in the background; what waits is lost when the process ends."""

    def __init__(self, retry_scale: float) -> None:
        self._retry_scale = retry_scale
        self._queue: asyncio.Queue[_Job] = asyncio.Queue()
        self._held: defaultdict[tuple[str, str], list[_Job]] = defaultdict(list)
        # What belongs to an older generation was forgotten by a reset.
        self._generation = 0
        self._counts: Counter[str] = Counter()
        self._waiting_count = 0

    async def run(self) -> None:
        """Send until cancelled."""
        connector = aiohttp.TCPConnector(limit=WORKER_COUNT)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            asyncio.TaskGroup() as workers,
        ):
            for _ in range(WORKER_COUNT):
                workers.create_task(self._work(session))

    def reset(self) -> None:
        """Forget what waits and what was counted."""
        self._generation += 1
        self._held.clear()
        self._counts.clear()
        self._waiting_count = 0

    def report(self) -> dict[str, int]:
        """Count the webhooks by what became of them."""
        return {"waiting": self._waiting_count, **self._counts}

    def submit(self, webhook: Webhook, fault: Fault | None) -> None:
        """Send a webhook soon, or do with it what the fault wants."""
        match fault.kind if fault else None:
            case FaultKind.RECEIPT_DROPPED:
                self._counts["dropped"] += 1
            case FaultKind.RECEIPT_DUPLICATED:
                self._send(webhook)
                self._send(webhook)
            case FaultKind.RECEIPT_DELAYED if fault:
                self._send(webhook, delay_seconds=fault.delay_seconds)
            case FaultKind.RECEIPT_REORDERED if fault:
                self._hold(webhook, fault.delay_seconds)
            case _:
                self._send(webhook)

    def _send(self, webhook: Webhook, *, delay_seconds: float = 0) -> None:
        job = self._new_job(webhook)
        if job is None:
            return
        job.overtaken = self._held.pop((webhook.provider, webhook.account), [])
        if delay_seconds:
            asyncio.get_running_loop().call_later(delay_seconds, self._queue.put_nowait, job)
        else:
            self._queue.put_nowait(job)

    def _hold(self, webhook: Webhook, delay_seconds: float) -> None:
        """Keep a webhook until the account's next one went out, or the delay has passed."""
        job = self._new_job(webhook)
        if job is None:
            return
        account = (webhook.provider, webhook.account)
        self._held[account].append(job)

        def give_up_waiting() -> None:
            # Another webhook may have taken it along since.
            if job in self._held[account]:
                self._held[account].remove(job)
                self._queue.put_nowait(job)

        asyncio.get_running_loop().call_later(delay_seconds, give_up_waiting)

    def _new_job(self, webhook: Webhook) -> _Job | None:
        if self._waiting_count >= WAITING_COUNT_MAX:
            self._counts["overflowed"] += 1
            return None
        self._waiting_count += 1
        return _Job(webhook, self._generation)

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while True:
            job = await self._queue.get()
            if job.generation == self._generation:
                taken = await _try(session, job)
                if job.generation == self._generation:
                    self._conclude(job, taken=taken)

    def _conclude(self, job: _Job, *, taken: bool) -> None:
        for overtaken in job.overtaken:
            self._queue.put_nowait(overtaken)
        job.overtaken = []
        intervals = job.webhook.retry_intervals_seconds
        if taken:
            self._counts["delivered"] += 1
        else:
            self._counts["failed_tries"] += 1
            if job.retry < len(intervals):
                delay_seconds = intervals[job.retry] * self._retry_scale
                job.retry += 1
                asyncio.get_running_loop().call_later(delay_seconds, self._queue.put_nowait, job)
                return
            self._counts["given_up"] += 1
        self._waiting_count -= 1


async def _try(session: aiohttp.ClientSession, job: _Job) -> bool:
    """Say whether the receiver took it: with 200, and in time."""
    webhook = job.webhook
    body, headers = webhook.render(job.retry)
    try:
        async with session.post(
            webhook.url,
            data=body,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=webhook.timeout_seconds),
        ) as response:
            return response.status == HTTPStatus.OK
    except (aiohttp.ClientError, TimeoutError):
        return False
