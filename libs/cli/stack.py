"""`leo up`, `leo down`, `leo status`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import typer
from rich.console import Console as Terminal
from rich.table import Table

from libs.cli.errors import CommandError, NoStackError
from libs.embedded.errors import EmbeddedError
from libs.supervisor.console import Console
from libs.supervisor.stack import Stack
from libs.supervisor.state import data_folder, is_locked, lock, read_state
from libs.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from pathlib import Path

    from libs.supervisor.state import StackState

DETACHED_START_TIMEOUT_SECONDS = 180
STOP_TIMEOUT_SECONDS = 90
# After a kill -9 the processes of the last stack need a moment to follow their supervisor.
PORTS_FREE_TIMEOUT_SECONDS = 20
POLL_SECONDS = 0.1

_COLOURS = {"healthy": "green", "starting": "yellow", "restarting": "yellow", "unhealthy": "red"}


def up(*, detach: bool, free_ports: bool) -> None:
    """Run a stack in the foreground, or start one and return when it answers."""
    folder = data_folder()
    if is_locked(folder):
        _say_running(folder)
        return
    if detach:
        _start_detached(folder, free_ports=free_ports)
        return
    with lock(folder) as ours:
        if not ours:
            _say_running(folder)
            return
        stack = Stack(folder, free_ports=free_ports)
        killed_before = (folder / "state.json").exists()
        _wait_for_ports(stack, PORTS_FREE_TIMEOUT_SECONDS if killed_before else 0)
        if not asyncio.run(Supervisor(folder, stack, Console()).run()):
            raise CommandError("the stack was not started; the reason stands above")


def down() -> None:
    """Stop the stack of this data folder."""
    folder = data_folder()
    state = read_state(folder)
    if state is None:
        typer.echo("No stack is running here.")
        return
    os.kill(state.supervisor_pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while is_locked(folder):
        if time.monotonic() > deadline:
            raise CommandError(
                f"the supervisor (pid {state.supervisor_pid}) does not end; kill -9 ends it, and "
                "its processes with it"
            )
        time.sleep(POLL_SECONDS)
    typer.echo(f"Stopped {len(state.processes)} processes. The data stays in {folder}.")


def status(*, as_json: bool) -> None:
    """Show the stack of this data folder."""
    state = read_state(data_folder())
    if state is None:
        raise NoStackError
    if as_json:
        typer.echo(json.dumps(state.as_json(), indent=2))
    else:
        _show(state)
    if not state.healthy:
        raise typer.Exit(1)


def _say_running(folder: Path) -> None:
    state = read_state(folder)
    if state is None:
        typer.echo("A stack is starting or stopping on this data folder; nothing done.")
        return
    typer.echo(
        f"The stack is running already (pid {state.supervisor_pid}): gRPC at "
        f"{state.address('ingest')}, HTTP at {state.address('edge')}. Nothing done."
    )


def _wait_for_ports(stack: Stack, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            stack.check_ports()
        except EmbeddedError as error:
            if time.monotonic() > deadline:
                raise CommandError(str(error)) from error
            time.sleep(POLL_SECONDS)
        else:
            return


def _start_detached(folder: Path, *, free_ports: bool) -> None:
    log = folder / "logs" / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "libs.cli", "up"] + ["--free-ports"] * free_ports
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603 - the command is ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + DETACHED_START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        state = read_state(folder)
        if state is not None and state.healthy:
            typer.echo(
                f"The stack is up: gRPC at {state.address('ingest')}, HTTP at "
                f"{state.address('edge')}. `leo down` stops it."
            )
            return
        if process.poll() is not None:
            raise CommandError(f"the stack was not started:\n{log.read_text().strip()}")
        time.sleep(POLL_SECONDS)
    raise CommandError(f"the stack is not up after {DETACHED_START_TIMEOUT_SECONDS} s; see {log}")


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
