"""An embedded PostgreSQL server on a data folder."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from libs.embedded.credentials import SUPERUSER, load_credentials
from libs.embedded.errors import EmbeddedError
from libs.embedded.folders import (
    check_reachable,
    closed_folder,
    make_reachable,
    place_elsewhere,
)
from libs.embedded.installation import install_postgres, library_environment, run_program
from libs.embedded.process import (
    POLL_SECONDS,
    end,
    free_port,
    last_words,
    server_user,
    spawn,
    until_answers,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

HOST: Final = "127.0.0.1"
START_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 30
PROBE_TIMEOUT_SECONDS = 2
# A restored database that is whole and about to take the place of the one before.
RESTORED: Final = "postgres.restored"
_FOLDER: Final = "postgres"
# Its own limit is 1,024 for any file, of which those of the database take their share.
PATH_BYTES_MAX: Final = 768
# Durable and for a small machine; a development database shares it with everything else.
SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
    # Parameters may be personal data.
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}


class EmbeddedPostgres:
    """PostgreSQL 18 with pgvector and pgcrypto on `<data folder>/postgres`.

    As root it runs as another user (uid 65534). Where that one cannot reach the data folder, as in
    a closed home, `postgres` is a link to a folder under /var/lib/leo-activation.

    Attributes:
        port: on 127.0.0.1; a free one, kept over restarts of the server.
        process: None before the first start.
    """

    def __init__(self, data_folder: Path, *, name: str = _FOLDER) -> None:
        """Describe a server.

        Args:
            data_folder: whose passwords and logs it has.
            name: of the database's folder, where it is another one beside the data folder's own.
        """
        self._data_folder = data_folder.absolute()
        self._name = name
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it listens, as host:port."""
        return f"{HOST}:{self.port}"

    @property
    def folder(self) -> Path:
        """Where the database is, links followed."""
        return (self._data_folder / _FOLDER).resolve().with_name(self._name)

    @cached_property
    def _credentials(self) -> dict[str, str]:
        """Read once: what happens to the file later does not stop a server that runs."""
        return load_credentials(self._data_folder)

    @property
    def log(self) -> Path:
        """What the server says."""
        return self._data_folder / "logs" / "postgres.log"

    async def prepare(self) -> Path:
        """Do what can be done and refused before anything is started.

        Returns:
            Where the server is installed.

        Raises:
            EmbeddedError: it cannot be unpacked, its libraries or its passwords are missing, or it
                cannot work in the folder.
        """
        installation = await asyncio.to_thread(install_postgres)
        path_bytes = len(os.fsencode(self._data_folder))
        if path_bytes > PATH_BYTES_MAX:
            raise EmbeddedError(
                f"the path of the data folder has {path_bytes} bytes, and PostgreSQL can work with "
                f"{PATH_BYTES_MAX}; set LEO_DATA to another folder"
            )
        self._make_way()
        _ = self._credentials
        self._finish_restore()
        return installation

    def set_password(self, installation: Path) -> None:
        """Let the superuser of a database that does not run have this data folder's password.

        Raises:
            EmbeddedError: the database cannot be recovered.
        """
        # Alone on its folder, the server asks nobody who he is.
        run_program(
            installation,
            "postgres",
            ["--single", "-D", str(self.folder), "postgres"],
            user=server_user(),
            told=f"ALTER ROLE {SUPERUSER} PASSWORD '{self._credentials[SUPERUSER]}'\n",
        )

    async def start(self) -> None:
        """Start and wait until it answers; initialise the folder the first time.

        Call it from the main thread (libs.embedded.process.follow_parent).

        Raises:
            EmbeddedError: it cannot be unpacked, initialised or started; the message says why.
        """
        installation = await self.prepare()
        if not (self.folder / "PG_VERSION").exists():
            await self._initialise(installation)
        await self.until_let_go(installation)
        command = [str(installation / "bin" / "postgres"), "-D", str(self.folder)]
        command += ["-c", f"port={self.port}"]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        # Fast shutdown; SIGTERM would wait for every client to go by itself.
        self._spawn(command, installation, death_signal=signal.SIGINT)
        # A stranger could answer on the port, but not to this password.
        await until_answers(self, timeout_seconds=START_TIMEOUT_SECONDS)

    async def stop(self) -> None:
        """End connections, write everything down, stop."""
        await end(self.process, signal.SIGINT, timeout_seconds=STOP_TIMEOUT_SECONDS)

    async def kill(self) -> None:
        """Stop at once, as a crash would; the next start recovers from the log."""
        await end(self.process, signal.SIGQUIT, timeout_seconds=STOP_TIMEOUT_SECONDS)

    def superuser_dsn(self, database: str) -> str:
        """The address as the superuser, who is for setting up only."""
        return self.dsn(SUPERUSER, database)

    def dsn(self, role: str, database: str) -> str:
        """The address as one of libs.postgres.roles.LOGIN_ROLES."""
        password = self._credentials[role]
        return f"postgresql://{role}:{password}@{HOST}:{self.port}/{database}"

    async def answers(self) -> bool:
        """Whether it accepts connections."""
        # Shielded, because a connection attempt that is cancelled leaves an unread error behind.
        return await asyncio.shield(asyncio.create_task(self._connects()))

    async def _connects(self) -> bool:
        try:
            connection = await asyncpg.connect(
                self.superuser_dsn("postgres"), timeout=PROBE_TIMEOUT_SECONDS
            )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        await connection.close()
        return True

    def _make_way(self) -> None:
        """Make everything but the database's own folder, where its user can reach it."""
        make_reachable(self._data_folder)
        link = self._data_folder / _FOLDER
        if not os.path.lexists(link) and closed_folder(self._data_folder):
            place_elsewhere(link)
        check_reachable(self.folder.parent, "set LEO_DATA to another folder")
        make_reachable(self.folder.parent)

    def _finish_restore(self) -> None:
        """Put a restored database where one was that somebody had taken away for it."""
        place = self.folder.with_name(_FOLDER)
        restored = self.folder.with_name(RESTORED)
        if not place.exists() and restored.exists():
            restored.rename(place)

    async def _initialise(self, installation: Path) -> None:
        """Make the database beside its place, and move it there whole: we may be killed."""
        unfinished = self.folder.with_name("postgres.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        password = unfinished / "password"
        password.touch(mode=0o600)
        password.write_text(self._credentials[SUPERUSER])
        if (user := server_user()) is not None:
            for path in (unfinished, password):
                os.chown(path, user, user)
        command = [
            str(installation / "bin" / "initdb"),
            f"--pgdata={unfinished / 'data'}",
            f"--username={SUPERUSER}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            # Byte order is code point order in UTF-8, the same on every machine.
            "--locale=C",
            "--no-instructions",
        ]
        initdb = self._spawn(command, installation, death_signal=signal.SIGTERM)
        if await asyncio.to_thread(initdb.wait) != 0:
            raise EmbeddedError(f"no database can be made in {self.folder}: {last_words(self.log)}")
        (unfinished / "data").rename(self.folder)
        shutil.rmtree(unfinished)

    async def until_let_go(self, installation: Path) -> None:
        """Wait for the processes of the last server, where somebody killed it or its parent.

        Orphaned, it still writes everything down; killed, its children still go one by one.
        """
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while found := _servers_in(self.folder, installation):
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"another server still holds {self.folder} (pid {found[0]}); end it first"
                )
            await asyncio.sleep(POLL_SECONDS)
        if sys.platform == "linux":
            # After a power cut its pid may be somebody else's, for whom PostgreSQL would wait.
            (self.folder / "postmaster.pid").unlink(missing_ok=True)

    def _spawn(
        self, command: list[str], installation: Path, *, death_signal: signal.Signals
    ) -> subprocess.Popen[bytes]:
        self.process = spawn(
            command,
            log=self.log,
            environment=library_environment(installation),
            user=server_user(),
            death_signal=death_signal,
        )
        return self.process


def _servers_in(folder: Path, installation: Path) -> list[int]:
    """The server's processes that work in `folder`; none where there is no /proc, as on macOS."""
    found = []
    program = (installation / "bin" / "postgres").resolve()
    for process in Path("/proc").glob("[0-9]*"):
        # One that is gone, or not ours to look at.
        with suppress(OSError):
            if (process / "cwd").readlink() == folder and (process / "exe").readlink() == program:
                found.append(int(process.name))
    return found
