"""`leo torture`: breaks a stack of its own by seeds, and looks whether its books balance."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape

import leo_sdk
from libs.rpc.errors import StartError
from libs.supervisor.running import find_or_start, leo
from libs.torture.plan import SETTINGS, plan_of
from libs.torture.rounds import Rounds
from libs.torture.tenant import make_tenant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libs.supervisor.running import RunningStack
    from libs.torture.rounds import Outcome


def torture(seeds: Sequence[int]) -> None:
    """Run the schedules of these seeds on a fresh stack, until one finds a flaw."""
    console = Console(highlight=False, soft_wrap=True)
    # Told to end, it must not leave a stack behind: this lets the block below end it.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    folder = Path(tempfile.mkdtemp(prefix="leo-torture-"))
    # Under root PostgreSQL runs as another user, who must be able to walk to its folder.
    folder.chmod(0o711)
    os.environ |= SETTINGS
    sound = True
    try:
        stack = find_or_start(folder, say=console.print, free_ports=True)
        sound = asyncio.run(_run(stack, seeds, console))
    except (StartError, leo_sdk.LeoRpcError) as error:
        console.print(f"[red]It ended early:[/red] {escape(str(error))}")
        raise typer.Exit(1) from None
    finally:
        leo(folder, "down")
        if sound:
            shutil.rmtree(folder, ignore_errors=True)
            console.print(f"Removed {folder}.")
    if not sound:
        console.print(f"Data and logs stay in {folder}: LEO_DATA={folder} leo up looks into them.")
        raise typer.Exit(1)


async def _run(stack: RunningStack, seeds: Sequence[int], console: Console) -> bool:
    began = time.monotonic()
    async with AsyncExitStack() as clients:
        rounds = Rounds(stack, await make_tenant(stack, clients, name="torture"))
        for seed in seeds:
            plan = plan_of(seed)
            console.print(f"[bold]seed {seed}[/bold]  {escape(str(plan))}")
            outcome = await rounds.run(plan)
            _tell(outcome, console)
            if outcome.problems:
                console.print(f"Again: leo torture --seed {seed}. Its schedule is the same again.")
                return False
    seconds = time.monotonic() - began
    schedules = "1 schedule" if len(seeds) == 1 else f"{len(seeds)} schedules"
    console.print(f"{schedules} in {seconds:.0f} s; the books balance.")
    return True


def _tell(outcome: Outcome, console: Console) -> None:
    ends = ", ".join(f"{count} {state}" for state, count in sorted(outcome.ends.items()))
    console.print(
        f"  {outcome.ends.total()} events, {outcome.delivery_count} deliveries: {ends}; "
        f"{outcome.seconds:.1f} s"
    )
    for problem in outcome.problems:
        console.print(f"  [red]{escape(problem)}[/red]")
