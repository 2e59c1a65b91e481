"""The running stack, as a client finds it; started by `leo up` where none runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

import asyncpg

import leo_sdk
from libs.embedded.credentials import DEVELOPER, load_credentials
from libs.postgres import roles
from libs.rpc.errors import StartError
from libs.supervisor.state import DATABASE, is_locked, read_state, witness_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from libs.supervisor.state import StackState

HEALTHY_TIMEOUT_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class RunningStack:
    """Where a healthy stack is reached, and with what."""

    folder: Path
    state: StackState

    @property
    def ingest_address(self) -> str:
        """host:port of the ingest service."""
        return self.state.address("ingest")

    @property
    def auditor_dsn(self) -> str:
        """The database as the auditor, who reads everything."""
        return self.dsn(roles.AUDITOR)

    @asynccontextmanager
    async def auditor(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection to the database as the auditor."""
        # Without kept plans: one that was made while a table was nearly empty is not one for later.
        connection = await asyncpg.connect(self.auditor_dsn, statement_cache_size=0)
        try:
            yield connection
        finally:
            await connection.close()

    def dsn(self, role: str) -> str:
        """The database as one of libs.postgres.roles.LOGIN_ROLES."""
        password = load_credentials(self.folder)[role]
        return f"postgresql://{role}:{password}@{self.state.address('postgres')}/{DATABASE}"

    @property
    def witness_file(self) -> Path:
        """What the simulated providers accepted."""
        return witness_file(self.folder)

    @asynccontextmanager
    async def client(self, *, tenant_id: str | None = None) -> AsyncIterator[leo_sdk.LeoClient]:
        """A client of all services as the developer, for the platform or for one tenant."""
        addresses = {process.name: process.address for process in self.state.processes}
        async with (
            self.tokens(tenant_id=tenant_id) as tokens,
            leo_sdk.LeoClient(
                self.ingest_address,
                tokens,
                segment_address=addresses.get("segment"),
                decision_address=addresses.get("decision"),
                dispatch_address=addresses.get("dispatch"),
            ) as client,
        ):
            yield client

    def tokens(self, *, tenant_id: str | None = None) -> leo_sdk.ClientCredentials:
        """Tokens of the developer's client, for the platform or for one tenant."""
        return leo_sdk.ClientCredentials(
            self.state.token_url,
            DEVELOPER,
            load_credentials(self.folder)[DEVELOPER],
            tenant_id=tenant_id,
        )


def find_or_start(
    folder: Path,
    *,
    say: Callable[[str], None],
    free_ports: bool = False,
    settings: Mapping[str, str] | None = None,
) -> RunningStack:
    """The healthy stack of this data folder; where none runs, one is started and left running.

    Args:
        folder: the data folder.
        say: shows the reader what happens.
        free_ports: a stack that is started listens on free ports.
        settings: further variables of its environment.

    Raises:
        StartError: the folder cannot be used, or no stack gets healthy on it.
    """
    if is_locked(folder):
        say(f"A stack runs in {folder}.")
    else:
        say(f"Starting a stack in {folder}; the first start unpacks PostgreSQL …")
        options = ["--detach"] + ["--free-ports"] * free_ports
        if leo(folder, "up", *options, settings=settings) != 0:
            raise StartError("the stack was not started; the reason stands above")
    deadline = time.monotonic() + HEALTHY_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        state = read_state(folder)
        # Somebody else may just be starting it.
        if state is not None and state.healthy:
            return RunningStack(folder, state)
        time.sleep(_POLL_SECONDS)
    raise StartError(f"the stack in {folder} does not get healthy; `leo status` says more")


def leo(
    folder: Path,
    *arguments: str,
    output: TextIO | None = None,
    settings: Mapping[str, str] | None = None,
) -> int:
    """Run a command on this data folder as a person would; the exit status.

    What it says goes to standard error, since standard output is the caller's, unless told else.
    """
    command = [sys.executable, "-P", "-m", "libs.cli", *arguments]
    environment = os.environ | {"LEO_DATA": str(folder)} | dict(settings or {})
    output = output or sys.stderr
    output.flush()
    return subprocess.run(  # noqa: S603, the command is ours
        command, env=environment, stdout=output, check=False
    ).returncode
