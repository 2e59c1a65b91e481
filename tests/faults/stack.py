"""A whole stack of real processes for tests that break it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leo.ingest.v1.ingest_service_pb2 import Tenant
from leo_sdk import LeoClient, StaticToken
from libs.torture.plan import EVENT_COUNT, SECOND, TOO_LONG_SECONDS, Strike

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator

    from libs.torture.plan import Kind

LEO = str(Path(sys.executable).with_name("leo"))


@dataclass(frozen=True, slots=True)
class Stack:
    """One running `leo up`, with a data folder and ports of its own.

    Attributes:
        settings: variables that every process gets.
    """

    data_folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    async def leo(self, *arguments: str) -> str:
        """Run `leo …` on this stack; its standard output."""
        process = await asyncio.create_subprocess_exec(
            LEO,
            *arguments,
            env=os.environ | self.settings | {"LEO_DATA": str(self.data_folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        output, errors = await process.communicate()
        assert process.returncode == 0, (arguments, output.decode(), errors.decode())
        return output.decode()

    def status(self) -> dict[str, Any]:
        """What `leo status --json` says, healthy or not."""
        found = subprocess.run(
            [LEO, "status", "--json"],
            env=os.environ | {"LEO_DATA": str(self.data_folder)},
            capture_output=True,
            check=False,
        )
        status: dict[str, Any] = json.loads(found.stdout)
        return status

    def process(self, name: str) -> dict[str, Any]:
        """One process of the status: name, pid, address, health, restarts."""
        processes: list[dict[str, Any]] = self.status()["processes"]
        (found,) = [process for process in processes if process["name"] == name]
        return found

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process by its name."""
        os.kill(self.process(name)["pid"], number)

    async def wait_healthy(self, name: str, *, restarts: int) -> None:
        """Wait until a process was restarted that often and answers again."""
        while True:
            found = self.process(name)
            if found["restarts"] >= restarts and found["health"] == "healthy":
                return
            await asyncio.sleep(0.1)

    async def token(self, *arguments: str) -> str:
        """A development token."""
        return (await self.leo("token", *arguments)).strip()

    async def client(self, token: str) -> LeoClient:
        """A client of ingest."""
        return LeoClient(self.process("ingest")["address"], StaticToken(token))

    async def create_tenant(self, name: str) -> str:
        """A new tenant's id."""
        async with await self.client(await self.token("--preset", "admin")) as client:
            tenant = await client.ingest.create_tenant(Tenant(name=name))
        return tenant.tenant_id

    async def count_events(self, tenant_id: str) -> tuple[int, int]:
        """Rows of the tenant's events, and how many different identities of their source."""
        text = await self.leo(
            "psql",
            "-c",
            "COPY (SELECT count(*), count(DISTINCT source_event_id) FROM marketing_event "
            f"WHERE tenant_id = '{tenant_id}') TO STDOUT",
        )
        rows, identities = text.split()
        return int(rows), int(identities)


def come_back_late(kind: Kind) -> tuple[Strike, ...]:
    """The second worker, alone until then, is lost with its messages, and comes back too late."""
    return (
        Strike(kind, SECOND, EVENT_COUNT // 2, TOO_LONG_SECONDS),
        # Stopped already; half a second later the stack's own worker goes on with the rest.
        Strike("freeze", "dispatch-work", EVENT_COUNT // 2, 0.5),
    )


@asynccontextmanager
async def running_stack(**settings: str) -> AsyncIterator[Stack]:
    """`leo up` on free ports until the block ends; then nothing of it may be left."""
    # Not pytest's tmp_path: as root, PostgreSQL runs as another user, to whom that is closed.
    folder = Path(tempfile.mkdtemp(prefix="leo-faults-"))
    os.chmod(folder, 0o755)  # noqa: PTH101 - pathlib's is taken for blocking
    stack = Stack(folder / "data", settings)
    try:
        await stack.leo("up", "--detach", "--free-ports")
        yield stack
    finally:
        await stack.leo("down")
        shutil.rmtree(folder, ignore_errors=True)
