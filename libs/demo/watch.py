"""What happens while it happens: a line every second, until everything has come to rest."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from libs.postgres.queries import load_queries
from libs.simulator.client import SimulatorClient
from libs.supervisor.books import is_quiet

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg
    from rich.console import Console

# What is left over after so long does not come to rest by itself.
QUIET_TIMEOUT_SECONDS: Final = 90.0
_LINE_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.2

_QUERIES = load_queries(__file__)
# The columns of a line: its title, and the name of its count in the statement.
_COLUMNS: Final = (
    ("events", "event_count"),
    ("decided", "decided_count"),
    ("to act", "acted_count"),
    ("waiting", "waiting_count"),
    ("accepted", "accepted_count"),
    ("in doubt", "doubt_count"),
    ("refused", "refused_count"),
    ("receipts", "receipt_count"),
)
# With the seconds, a line fits into a terminal of 80 columns.
_WIDTH: Final = 9
EXPLANATION: Final = """\
events: stored · decided: with a decision · to act: decisions to send a message
waiting, accepted, in doubt, refused: messages · receipts: said later"""


async def watch(
    console: Console,
    auditor: asyncpg.Connection,
    simulator_address: str,
    tenant_id: UUID,
    sending: asyncio.Task[Any],
) -> bool:
    """Print a line every second until `sending` is done and everything has come to rest.

    Args:
        sending: what has to be done before it can come to rest.

    Returns:
        Whether it came to rest.

    Raises:
        BaseException: what `sending` ended with.
    """
    console.print(EXPLANATION, style="dim", highlight=False)
    console.print(_line("seconds", [title for title, _ in _COLUMNS]), style="bold")
    began_at = time.monotonic()
    next_line_at, sent_at = began_at + _LINE_SECONDS, None
    quiet = late = False
    async with SimulatorClient(simulator_address) as simulator:
        while not (quiet or late):
            await asyncio.sleep(_POLL_SECONDS)
            if sending.done():
                sending.result()
                sent_at = sent_at or time.monotonic()
                quiet = await is_quiet(auditor, simulator)
                late = time.monotonic() - sent_at > QUIET_TIMEOUT_SECONDS
            now = time.monotonic()
            if quiet or late or now >= next_line_at:
                next_line_at = max(next_line_at + _LINE_SECONDS, now)
                counts = await _QUERIES.watch(auditor, tenant_id=tenant_id)
                numbers = [f"{counts[name]:,}" for _, name in _COLUMNS]
                console.print(_line(f"{now - began_at:.1f}", numbers), highlight=False)
    return quiet


def _line(first: str, others: list[str]) -> str:
    return f"{first:>7}" + "".join(f"{text:>{_WIDTH}}" for text in others)
