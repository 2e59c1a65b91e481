"""Whether the books of a running stack balance: our rows, and beside them the provider's own count.

The database's own equations are the view `ledger_breach` (docs/reference/journey.md); what only
the provider knows, how often it accepted each message, is in the witness log of the simulator.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from libs.postgres.queries import load_queries
from libs.simulator.client import SimulatorClient
from libs.simulator.witness import count_by_reference

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import asyncpg

_QUERIES = load_queries(__file__)
_POLL_SECONDS: Final = 0.2
_REST_SHARE: Final = 10
# How many acceptances the provider may have counted of a delivery in each state.
_ONCE: Final = (1, 1)
_MAYBE: Final = (0, 1)
_NEVER: Final = (0, 0)
_ACCEPTANCES: Final[Mapping[str, tuple[int, int]]] = {
    "accepted": _ONCE,
    "sending": _MAYBE,
    "outcome_unknown": _MAYBE,
    "closed_unknown": _MAYBE,
}


async def wait_for_quiet(auditor: asyncpg.Connection, simulator_address: str) -> None:
    """Wait until nothing is on its way: no event, decision, message or webhook."""
    async with SimulatorClient(simulator_address) as simulator:
        while True:
            began = time.monotonic()
            if await is_quiet(auditor, simulator):
                return
            # Looking reads whole tables: it takes a small share of the time, whatever it takes.
            took = time.monotonic() - began
            await asyncio.sleep(max(_POLL_SECONDS, _REST_SHARE * took))


async def is_quiet(auditor: asyncpg.Connection, simulator: SimulatorClient) -> bool:
    """Whether nothing is on its way."""
    # In this order: what is sent meanwhile brings a webhook.
    if any((await _QUERIES.in_flight(auditor)).values()):
        return False
    return await simulator.waiting_webhook_count() == 0


async def find_breaches(auditor: asyncpg.Connection, witness_file: Path) -> list[str]:
    """What does not balance once all is quiet, in words; empty if everything does."""
    breaches = [
        f"{row['equation']}: {row['detail']} ({row['subject_id']})"
        async for row in _QUERIES.breaches(auditor)
    ]
    breaches += [
        f"A2: {row['detail']} ({row['delivery_id']})"
        async for row in _QUERIES.broken_chains(auditor)
    ]
    deliveries = [row async for row in _QUERIES.deliveries(auditor)]
    return breaches + compare_with_witness(deliveries, count_by_reference(witness_file))


def compare_with_witness(
    deliveries: Iterable[Mapping[str, Any]], witnessed: Counter[str]
) -> list[str]:
    """Where our rows and the provider's count differ, delivery by delivery.

    So over all: accepted ≤ witnessed ≤ accepted + unknown, and nothing was accepted twice.

    Args:
        deliveries: delivery_id, state and attempt_count of every delivery.
        witnessed: how often the provider accepted each.
    """
    found = []
    unexplained = dict(witnessed)
    for delivery in deliveries:
        reference, state = str(delivery["delivery_id"]), delivery["state"]
        count = unexplained.pop(reference, 0)
        least, most = _ACCEPTANCES.get(state, _NEVER)
        if not least <= count <= most:
            found.append(
                f"A5/A6: {state}, but the provider accepted it {count} times ({reference})"
            )
        elif count > delivery["attempt_count"]:
            found.append(f"A4: the provider accepted it, but no intent was stored ({reference})")
    found += [
        f"A4: the provider accepted it {count} times, but there is no such delivery ({reference})"
        for reference, count in unexplained.items()
    ]
    return found
