"""Child processes that do not outlive their parent."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Final, Protocol

from libs.embedded.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

# "nobody" on Linux and macOS. PostgreSQL refuses to run as root.
NOBODY = 65534
POLL_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1
_LAST_LINE_COUNT: Final = 3


class Server(Protocol):
    """A child process that can be asked whether it is ready."""

    @property
    def process(self) -> subprocess.Popen[bytes] | None: ...
    @property
    def log(self) -> Path: ...
    async def kill(self) -> None: ...
    async def answers(self) -> bool: ...


def server_user() -> int | None:
    """The uid as which PostgreSQL runs if we are root, else None: as ourselves."""
    return NOBODY if os.geteuid() == 0 else None


def free_port() -> int:
    """A port of loopback that nobody holds now."""
    (port,) = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """Different ports of loopback that nobody holds now."""
    with ExitStack() as held:
        # All are held until the last one is found, or one might be found twice.
        sockets = [held.enter_context(closing(socket.socket())) for _ in range(count)]
        for found in sockets:
            found.bind(("127.0.0.1", 0))
        return [found.getsockname()[1] for found in sockets]


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    user: int | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, which ends when this one does.

    Its own session keeps a Ctrl-C of the terminal from it: whoever started it stops it in order.

    Args:
        command: program and arguments.
        log: where its output is appended.
        environment: all of its variables; ours if None.
        user: the uid to run as.
        death_signal: what the kernel sends it when we are gone (`follow_parent`).

    Raises:
        EmbeddedError: the program or its log cannot be opened, or the machine has no room for it.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        # Appending, also after the supervisor has cut the log off (libs.supervisor.logs).
        with log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - the command is ours
                command,
                env=environment,
                user=user,
                group=user,
                extra_groups=[] if user is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=follow_parent(death_signal),  # noqa: PLW1509 - prctl takes no lock
            )
    except OSError as error:
        raise EmbeddedError(
            f"{command[0]} cannot be started: {error.filename or 'the system'}: {error.strerror}"
        ) from error


def follow_parent(death_signal: signal.Signals) -> Callable[[], None]:
    """What a child runs before it becomes its program, so that it ends when this process does.

    On Linux the kernel sends `death_signal` when the thread that starts the child ends, also after
    a kill -9 of the process: so start it from the main thread. Elsewhere nothing does.
    """
    parent = os.getpid()
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

    def follow() -> None:
        # Runs in the child after the change of user, which would clear it.
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != parent:  # it died before we asked
                os.kill(os.getpid(), signal.SIGKILL)

    return follow


async def until_answers(server: Server, *, timeout_seconds: float) -> None:
    """Wait until a server that was just spawned answers; one that does not in time is killed.

    Raises:
        EmbeddedError: it ended or does not answer; the message ends with what it said last.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            while not await server.answers():
                if server.process is None or server.process.poll() is not None:
                    raise EmbeddedError(f"it ended while starting: {last_words(server.log)}")
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        said = last_words(server.log)  # before it says that it was killed
        await server.kill()
        raise EmbeddedError(f"it does not answer within {timeout_seconds:g} s: {said}") from error


async def end(
    process: subprocess.Popen[bytes] | None, number: signal.Signals, *, timeout_seconds: float
) -> None:
    """Send a signal to a process and wait until it is gone; SIGKILL when the time is over."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(number)
    try:
        await asyncio.to_thread(process.wait, timeout_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.wait)


def last_words(log: Path) -> str:
    """What a process said last, and where the rest is."""
    lines = log.read_text(errors="replace").strip().splitlines()[-_LAST_LINE_COUNT:]
    return f"{' | '.join(lines) or 'it said nothing'} (all of it: {log})"
