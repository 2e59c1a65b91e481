"""An embedded PostgreSQL server on a data folder."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from libs.embedded.credentials import SUPERUSER, load_credentials
from libs.embedded.errors import EmbeddedError
from libs.embedded.installation import install_postgres, library_environment
from libs.embedded.process import end, free_port, server_user, spawn

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST: Final = "127.0.0.1"
START_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 30
PROBE_TIMEOUT_SECONDS = 2
POLL_SECONDS = 0.02
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

    As root it runs as another user (uid 65534), so its folder must be reachable by that user; where
    the data folder lies below a closed one, it lives under /var/lib/leo-activation instead.

    Attributes:
        port: on 127.0.0.1; a free one, kept over restarts of the server.
        folder: where the database is.
        process: None before the first start.
    """

    def __init__(self, data_folder: Path) -> None:
        self._data_folder = data_folder.absolute()
        self.folder = _postgres_folder(self._data_folder)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it listens, as host:port."""
        return f"{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self._data_folder / "logs" / "postgres.log"

    async def start(self) -> None:
        """Start and wait until it answers; initialise the folder the first time.

        Call it from the main thread (libs.embedded.process.spawn).

        Raises:
            EmbeddedError: it cannot be unpacked, initialised or started; the message says why.
        """
        installation = await asyncio.to_thread(install_postgres)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "PG_VERSION").exists():
            await asyncio.to_thread(self._initialise, installation)
        async with asyncio.timeout(START_TIMEOUT_SECONDS) as limit:
            try:
                await self._start(installation)
            except TimeoutError as error:
                if not limit.expired():
                    raise
                await self.kill()
                raise EmbeddedError(f"PostgreSQL does not answer; see {self.log}") from error

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
        password = load_credentials(self._data_folder)[role]
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

    def _initialise(self, installation: Path) -> None:
        password = load_credentials(self._data_folder)[SUPERUSER]
        user = server_user()
        # A half-made folder of an interrupted first start would be refused by initdb.
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=self.folder.parent) as password_file:
            password_file.write(password)
            password_file.flush()
            if user is not None:
                os.chown(self.folder, user, user)
                os.chown(password_file.name, user, user)
            made = subprocess.run(  # noqa: S603 - the command is ours
                [
                    str(installation / "bin" / "initdb"),
                    f"--pgdata={self.folder}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={password_file.name}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    # Byte order is code point order in UTF-8, the same on every machine.
                    "--locale=C",
                    "--no-instructions",
                ],
                env=library_environment(installation),
                user=user,
                group=user,
                extra_groups=[] if user is not None else None,
                capture_output=True,
                text=True,
                check=False,
            )
        if made.returncode != 0:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise EmbeddedError(f"initdb failed in {self.folder}: {made.stderr.strip()}")

    async def _start(self, installation: Path) -> None:
        command = [str(installation / "bin" / "postgres"), "-D", str(self.folder)]
        command += ["-c", f"port={self.port}"]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        while True:
            self.process = spawn(
                command,
                log=self.log,
                environment=library_environment(installation),
                user=server_user(),
                # Fast shutdown; SIGTERM would wait for every client to go by itself.
                death_signal=signal.SIGINT,
            )
            while self.process.poll() is None:
                # A stranger could answer on the port, but not to this password.
                if await self.answers():
                    return
                await asyncio.sleep(POLL_SECONDS)
            if not self._is_held_by_a_server_that_goes_down():
                raise EmbeddedError(f"PostgreSQL ended while starting: {_tail(self.log)}")
            await asyncio.sleep(POLL_SECONDS * 10)

    def _is_held_by_a_server_that_goes_down(self) -> bool:
        """Whether the folder's last server, orphaned by a kill, is still writing things down."""
        try:
            pid = int((self.folder / "postmaster.pid").read_text().split("\n", 1)[0])
            os.kill(pid, 0)
        except (OSError, ValueError):
            return False
        return True


def _postgres_folder(data_folder: Path) -> Path:
    if server_user() is None or _is_reachable(data_folder):
        return data_folder / "postgres"
    name = hashlib.sha256(str(data_folder).encode()).hexdigest()[:16]
    return Path("/var/lib/leo-activation") / name / "postgres"


def _is_reachable(folder: Path) -> bool:
    """Whether a user who owns nothing on the way may walk to `folder`, or will once it is made."""
    return all(
        parent.stat().st_mode & 0o001 for parent in (folder, *folder.parents) if parent.exists()
    )


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " | ".join(lines[-3:]) or "it said nothing"
