"""What a running stack says about itself: one file and one lock in its data folder."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

from libs.embedded.folders import make_reachable
from libs.rpc.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE: Final = "leo"
LOCK_ATTEMPT_COUNT_MAX: Final = 50
_LOCK_INTERVAL_SECONDS: Final = 0.01
_LOCK_FILE: Final = "supervisor.lock"
_STATE_FILE: Final = "state.json"
Health = Literal["starting", "healthy", "unhealthy", "restarting", "stopping", "stopped"]


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One process: pid is None while it is down; restarts counts those that nobody asked for."""

    name: str
    pid: int | None
    address: str
    health: Health
    restarts: int


@dataclass(frozen=True, slots=True)
class StackState:
    """A running stack, as `leo status --json` prints it. It holds no secret."""

    version: str
    supervisor_pid: int
    data_folder: str
    processes: tuple[ProcessState, ...]

    @property
    def healthy(self) -> bool:
        """Whether every process answers."""
        return all(process.health == "healthy" for process in self.processes)

    def address(self, name: str) -> str:
        """The address of one process."""
        return next(process.address for process in self.processes if process.name == name)

    @property
    def doors(self) -> str:
        """Where clients find it, in words; what was left out has no door."""
        addresses = {process.name: process.address for process in self.processes}
        told = [
            f"{what} at {addresses[name]}"
            for what, name in (("gRPC", "ingest"), ("HTTP", "edge"))
            if name in addresses
        ]
        return ", ".join(told) or "without ingest and edge"

    @property
    def token_url(self) -> str:
        """Where the development issuer gives tokens."""
        return f"http://{self.address('issuer')}/realms/leo/protocol/openid-connect/token"

    def as_json(self) -> dict[str, Any]:
        """Everything that people and scripts ask for."""
        return asdict(self) | {
            "healthy": self.healthy,
            "token_url": self.token_url,
            "database": f"postgresql://{self.address('postgres')}/{DATABASE}",
        }


def data_folder() -> Path:
    """The data folder: LEO_DATA, or .leo in the current folder."""
    return Path(os.environ.get("LEO_DATA") or ".leo").absolute()


def simulator_accounts_file(folder: Path) -> Path:
    """The accounts that the simulator knows at its start."""
    return folder / "simulator" / "accounts.json"


def witness_file(folder: Path) -> Path:
    """What the simulator accepted, line by line."""
    return folder / "simulator" / "witness.jsonl"


def write_state(folder: Path, state: StackState) -> None:
    """Replace the state file at once, so that nobody reads half of it."""
    replacement = folder / "state.new"
    replacement.write_text(json.dumps(asdict(state)))
    replacement.rename(folder / _STATE_FILE)


def read_state(folder: Path) -> StackState | None:
    """The stack that runs on this data folder; None if none does, or in its very first moment.

    Raises:
        StartError: the folder or what the supervisor wrote there cannot be used.
    """
    if not is_locked(folder):
        return None
    path = folder / _STATE_FILE
    try:
        found = json.loads(path.read_text())
        found["processes"] = tuple(ProcessState(**process) for process in found["processes"])
        return StackState(**found)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(folder, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StartError(
            f"{path} cannot be understood; was the stack started by another version? Stop it with "
            "that one, or with Ctrl-C"
        ) from error


@contextmanager
def lock(folder: Path) -> Iterator[bool]:
    """Hold the data folder for a supervisor's life; gives False if another one holds it.

    The kernel lets go of it when the process ends, however it ends.

    Raises:
        StartError: the folder cannot be made or written to.
    """
    state = folder / _STATE_FILE
    try:
        make_reachable(folder)
        file = (folder / _LOCK_FILE).open("a")
    except OSError as error:
        raise unusable(folder, error) from error
    with file:
        if not _take(file):
            yield False
            return
        # Of a supervisor that was killed; whoever reads it now would take it for ours.
        state.unlink(missing_ok=True)
        try:
            yield True
        finally:
            state.unlink(missing_ok=True)


def was_killed(folder: Path) -> bool:
    """Whether the last supervisor of a folder that nobody holds did not end by itself."""
    return (folder / _STATE_FILE).exists()


def is_locked(folder: Path) -> bool:
    """Whether a supervisor runs on this data folder.

    Raises:
        StartError: it can be no data folder.
    """
    try:
        file = (folder / _LOCK_FILE).open("a")
    except FileNotFoundError:
        return False
    except OSError as error:
        raise unusable(folder, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _take(file: TextIO) -> bool:
    """Try more than once: whoever only looks (is_locked) holds the lock for that moment."""
    for _ in range(LOCK_ATTEMPT_COUNT_MAX):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_INTERVAL_SECONDS)
        else:
            return True
    return False


def unusable(folder: Path, error: OSError) -> StartError:
    """Why a folder cannot be the data folder."""
    return StartError(
        f"{folder} cannot be the data folder: {error.strerror}; set LEO_DATA to another one"
    )
