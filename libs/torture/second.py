"""One more worker of dispatch beside the stack's own, with a gate on its way to the database."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from libs.embedded.credentials import credential_keys_file, unsubscribe_keys_file
from libs.embedded.process import end
from libs.postgres import roles
from libs.rpc.errors import StartError
from libs.supervisor import table
from libs.torture.plan import SETTINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from libs.supervisor.running import RunningStack

MODULE: Final = "services.dispatch"
_READ_BYTES: Final = 65_536
_POLL_SECONDS: Final = 0.05
_STOP_TIMEOUT_SECONDS: Final = 20


class Gate:
    """Passes bytes on to a server while it is open; shut, it keeps them, as a broken network does.

    Attributes:
        address: where it listens.
        reached: set as soon as somebody has come through.
    """

    def __init__(self, target: str) -> None:
        self.address = ""
        self.reached = asyncio.Event()
        self._host, _, self._port = target.rpartition(":")
        self._open = asyncio.Event()
        self._open.set()
        self._pipes: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Gate]:
        """Listen until the block ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for pipe in self._pipes:
                pipe.cancel()
            await asyncio.gather(*self._pipes, return_exceptions=True)

    def shut(self) -> None:
        """Let nothing through."""
        self._open.clear()

    def open(self) -> None:
        """Let everything through that has waited."""
        self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection(self._host, int(self._port))
        except OSError:
            # The server is down: so is whoever wants to come through.
            writer.close()
            return
        self.reached.set()
        for source, sink in ((reader, there[1]), (there[0], writer)):
            pipe = asyncio.create_task(self._pass(source, sink))
            self._pipes.add(pipe)
            pipe.add_done_callback(self._pipes.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                while data := await source.read(_READ_BYTES):
                    await self._open.wait()
                    sink.write(data)
                    await sink.drain()
        finally:
            sink.close()


class SecondWorker:
    """`python -m <module> work` on a running stack, without a doorbell."""

    def __init__(self, stack: RunningStack, gate: Gate, module: str) -> None:
        self.gate = gate
        self._stack = stack
        self._module = module
        self._log = stack.folder / "logs" / "second-dispatch-work.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, once more after its end."""
        row = next(row for row in table.SERVICES if row.name == "dispatch-work")
        postgres = self._stack.state.address("postgres")
        folder = self._stack.folder
        values = {
            "redis": "",
            "credential_keys": str(credential_keys_file(folder)),
            "unsubscribe_keys": str(unsubscribe_keys_file(folder)),
            "edge": self._stack.state.address("edge"),
        }
        settings = {name: value.format_map(values) for name, value in row.settings}
        # It hears no bell, and shall have its share of the messages all the same.
        settings["LEO_MACHINE_POLL_INTERVAL"] = "PT0.05S"
        for name, role in (
            ("LEO_POSTGRES_DSN", roles.DISPATCH),
            ("LEO_POSTGRES_FINDER_DSN", roles.FINDER),
        ):
            settings[name] = self._stack.dsn(role).replace(postgres, self.gate.address)
        with self._log.open("ab") as output:
            # Not libs.embedded.process: this process runs gRPC, and a fork that runs Python between
            # fork and exec, as that does, may crash there.
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                [sys.executable, "-m", self._module, "work"],
                env=os.environ | SETTINGS | settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def ready(self) -> None:
        """Wait until it has reached the database.

        Raises:
            StartError: it ended before.
        """
        while not self.gate.reached.is_set():
            if self._process is None or self._process.poll() is not None:
                raise StartError(f"the second worker ended while starting; see {self._log}")
            await asyncio.sleep(_POLL_SECONDS)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; it need not be there any more."""
        if self._process is not None:
            self._process.send_signal(number)

    async def stop(self) -> None:
        """Let it finish what is in flight."""
        await end(self._process, signal.SIGTERM, timeout_seconds=_STOP_TIMEOUT_SECONDS)

    async def kill(self) -> None:
        """End it at once."""
        await end(self._process, signal.SIGKILL, timeout_seconds=_STOP_TIMEOUT_SECONDS)


@asynccontextmanager
async def second_worker(stack: RunningStack, module: str = MODULE) -> AsyncIterator[SecondWorker]:
    """A second worker until the block ends.

    Args:
        module: run as `python -m <module> work`; a test plants its flaws here.
    """
    async with Gate(stack.state.address("postgres")).listening() as gate:
        worker = SecondWorker(stack, gate, module)
        worker.start()
        try:
            await worker.ready()
            yield worker
        finally:
            gate.open()
            worker.send(signal.SIGCONT)
            await worker.stop()
