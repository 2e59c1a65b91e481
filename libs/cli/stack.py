"""`leo up`, `leo down`, `leo status`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

import typer
from rich.console import Console as Terminal
from rich.table import Table

from libs.cli.errors import CommandError, NoStackError
from libs.embedded.folders import make_reachable
from libs.supervisor.console import Console
from libs.supervisor.settings import read_settings
from libs.supervisor.stack import Stack
from libs.supervisor.state import (
    data_folder,
    is_locked,
    lock,
    read_state,
    unusable,
    was_killed,
)
from libs.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from pathlib import Path

    from libs.supervisor.state import StackState

DETACHED_START_TIMEOUT_SECONDS = 180
STOP_TIMEOUT_SECONDS = 90
POLL_SECONDS = 0.1

_COLOURS = {
    "healthy": "green",
    "starting": "yellow",
    "restarting": "yellow",
    "stopping": "yellow",
    "unhealthy": "red",
}


def up(*, detach: bool, free_ports: bool) -> None:
    """Run a stack in the foreground, or start one and return when it answers."""
    folder = data_folder()
    if is_locked(folder):
        _say_running(folder)
        return
    if detach:
        _start_detached(folder, free_ports=free_ports)
        return
    settings = read_settings()
    after_kill = was_killed(folder)
    with lock(folder) as ours:
        if not ours:
            _say_running(folder)
            return
        stack = Stack(folder, free_ports=free_ports, leave_out=settings.leave_out)
        supervisor = Supervisor(folder, stack, Console(), settings, after_kill=after_kill)
        if not asyncio.run(supervisor.run()):
            raise CommandError("the stack was not started; the reason stands above")


def down() -> None:
    """Stop the stack of this data folder."""
    folder = data_folder()
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    # It holds the folder a moment before it says who it is.
    while (state := read_state(folder)) is None:
        if not is_locked(folder):
            typer.echo("No stack is running here.")
            return
        _wait(deadline, f"a supervisor holds {folder} and does not say which; Ctrl-C ends it")
    with suppress(ProcessLookupError):
        os.kill(state.supervisor_pid, signal.SIGTERM)
    while is_locked(folder):
        _wait(
            deadline,
            f"the supervisor (pid {state.supervisor_pid}) does not end; kill -9 ends it, and "
            "its processes with it",
        )
    typer.echo(f"Stopped {len(state.processes)} processes. The data stays in {folder}.")


def status(*, as_json: bool) -> None:
    """Show the stack of this data folder."""
    folder = data_folder()
    state = read_state(folder)
    if state is None:
        if is_locked(folder):
            raise CommandError("a stack is just beginning to start or about to be gone here")
        raise NoStackError
    if as_json:
        typer.echo(json.dumps(state.as_json(), indent=2))
    else:
        _show(state)
    if not state.healthy:
        raise typer.Exit(1)


def _wait(deadline: float, problem: str) -> None:
    if time.monotonic() > deadline:
        raise CommandError(problem)
    time.sleep(POLL_SECONDS)


def _say_running(folder: Path) -> None:
    state = read_state(folder)
    if state is None:
        typer.echo("A stack is starting or stopping on this data folder; nothing done.")
        return
    if not state.healthy:
        typer.echo(
            f"A stack is there already (pid {state.supervisor_pid}), but not all of it is healthy; "
            "`leo status` shows it. Nothing done."
        )
        return
    typer.echo(
        f"The stack is running already (pid {state.supervisor_pid}): {state.doors}. Nothing done."
    )


def _start_detached(folder: Path, *, free_ports: bool) -> None:
    log = folder / "logs" / "supervisor.log"
    command = [sys.executable, "-P", "-m", "libs.cli", "up"] + ["--free-ports"] * free_ports
    with _open_log(folder, log) as output:
        before = output.tell()
        process = subprocess.Popen(  # noqa: S603 - the command is ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        state = _wait_healthy(folder, process)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    if state is None and process.poll() is None:
        raise CommandError(
            f"the stack is not up after {DETACHED_START_TIMEOUT_SECONDS} s; see {log}"
        )
    if state is None:
        said = log.read_bytes()[before:].decode(errors="replace").strip()
        raise CommandError(
            f"the stack was not started:\n{said or 'it said nothing; is the disk full?'}"
        )
    typer.echo(f"The stack is up: {state.doors}. `leo down` stops it.")


def _open_log(folder: Path, log: Path) -> BinaryIO:
    try:
        make_reachable(log.parent)
        return log.open("ab")
    except OSError as error:
        raise unusable(folder, error) from error


def _wait_healthy(folder: Path, process: subprocess.Popen[bytes]) -> StackState | None:
    """The state once all is healthy; None if the stack ended or the time is over."""
    deadline = time.monotonic() + DETACHED_START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        state = read_state(folder)
        if state is not None and state.healthy:
            return state
        # One that ends well has found that another one, started at the same moment, is the stack.
        if process.poll() is not None and (process.returncode != 0 or not is_locked(folder)):
            return None
        time.sleep(POLL_SECONDS)
    return None


def _show(state: StackState) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("process", "pid", "address", "health", "restarts"):
        table.add_column(name, justify="right" if name in ("pid", "restarts") else "left")
    for process in state.processes:
        colour = _COLOURS.get(process.health, "dim")
        table.add_row(
            process.name,
            str(process.pid or "-"),
            process.address,
            f"[{colour}]{process.health}[/{colour}]",
            str(process.restarts),
        )
    Terminal().print(table)
