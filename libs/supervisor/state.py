"""What a running stack says about itself: one file and one lock in its data folder."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE: Final = "leo"
Health = Literal["starting", "healthy", "unhealthy", "restarting", "stopped"]


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
    replacement.rename(folder / "state.json")


def read_state(folder: Path) -> StackState | None:
    """The stack that runs on this data folder, or None."""
    if not is_locked(folder):
        return None
    try:
        found = json.loads((folder / "state.json").read_text())
    except FileNotFoundError:
        return None
    found["processes"] = tuple(ProcessState(**process) for process in found["processes"])
    return StackState(**found)


@contextmanager
def lock(folder: Path) -> Iterator[bool]:
    """Hold the data folder for a supervisor's life; gives False if another one holds it.

    The kernel lets go of it when the process ends, however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "supervisor.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            (folder / "state.json").unlink(missing_ok=True)


def is_locked(folder: Path) -> bool:
    """Whether a supervisor runs on this data folder."""
    try:
        file = (folder / "supervisor.lock").open("a")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
