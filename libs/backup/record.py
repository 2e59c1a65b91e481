"""What stands beside the database in a backup: from what it was made, and what it needs."""

from __future__ import annotations

import hashlib
import platform
from datetime import datetime  # noqa: TC003 - pydantic reads annotations
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from libs.embedded.credentials import CREDENTIAL_KEYS_FILE, UNSUBSCRIBE_KEYS_FILE
from libs.embedded.installation import run_program
from libs.postgres.migrations import MIGRATIONS_FOLDER
from libs.rpc.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Beside each other in a backup.
RECORD_FILE: Final = "backup.json"
DATABASE_FOLDER: Final = "database"
# The data folder's keys without which parts of a database are of no use, and what those parts are.
KEY_FILES: Final[Mapping[str, str]] = {
    CREDENTIAL_KEYS_FILE: "the channel accounts' secrets cannot be opened and must be entered anew",
    UNSUBSCRIBE_KEYS_FILE: "links to unsubscribe in messages sent until then do not work",
}


class BackupRecord(BaseModel):
    """A backup, as its file `backup.json` tells of it. It holds no secret.

    Attributes:
        created_at: when it was begun; it holds what was committed by its end.
        machine: the processor, which the files of a database are made for.
        schema_versions: the migrations that had been run.
        key_fingerprints: for each file of keys, the SHA-256 of each of its keys.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    created_at: datetime
    leo_version: str
    server_version: str
    machine: str
    schema_versions: tuple[str, ...]
    byte_count: int
    key_fingerprints: dict[str, tuple[str, ...]]

    @property
    def schema_version(self) -> str:
        """The newest migration that had been run."""
        return max(self.schema_versions, default="none")


def new_record(
    data_folder: Path,
    *,
    created_at: datetime,
    server_version: str,
    schema_versions: tuple[str, ...],
    byte_count: int,
) -> BackupRecord:
    """The record of a backup that this version made of this data folder."""
    return BackupRecord(
        created_at=created_at,
        leo_version=version("leo-activation"),
        server_version=server_version,
        machine=platform.machine(),
        schema_versions=schema_versions,
        byte_count=byte_count,
        key_fingerprints={name: _fingerprints(data_folder / name) for name in KEY_FILES},
    )


def read_record(backup: Path, installation: Path) -> BackupRecord:
    """Read the record of a backup, and refuse what this version cannot restore.

    Args:
        backup: its folder.
        installation: the server that would run on it.

    Raises:
        StartError: it is no backup, or it needs another version.
    """
    path = backup / RECORD_FILE
    try:
        record = BackupRecord.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise StartError(f"{backup} is no backup of `leo backup`: {path} is missing") from None
    except ValidationError:
        raise StartError(
            f"{path} cannot be understood: it is damaged, or of a newer version of LEO Activation"
        ) from None
    unknown = sorted(set(record.schema_versions) - _known_versions())
    if unknown:
        raise StartError(
            f"the backup was made by another version ({record.leo_version}), whose schema this one "
            f"does not know (migration {unknown[-1]}): restore it with that version"
        )
    ours = server_version_of(installation)
    if record.server_version.partition(".")[0] != ours.partition(".")[0]:
        raise StartError(
            f"the backup is of PostgreSQL {record.server_version}, and the server here is {ours}: "
            "restore it with the version that made it"
        )
    if record.machine != platform.machine():
        raise StartError(
            f"the backup was made on {record.machine}, and this machine is {platform.machine()}: "
            "the files of a database fit the kind of machine that wrote them"
        )
    return record


def missing_keys(record: BackupRecord, data_folder: Path) -> list[str]:
    """What the data folder's keys cannot do for a restored backup, in words."""
    return [
        f"{data_folder / name} does not hold the key of when the backup was made: "
        f"{KEY_FILES[name]}. Put the file of then in its place"
        for name, fingerprints in sorted(record.key_fingerprints.items())
        if name in KEY_FILES and not set(fingerprints) <= set(_fingerprints(data_folder / name))
    ]


def server_version_of(installation: Path) -> str:
    """The version of an unpacked server, such as "18.1"."""
    return run_program(installation, "postgres", ["--version"]).split()[-1]


def _known_versions() -> set[str]:
    return {path.name.partition("_")[0] for path in MIGRATIONS_FOLDER.glob("[0-9]*.sql")}


def _fingerprints(path: Path) -> tuple[str, ...]:
    """Of each key of a file: an object of keys by their ids, or a list of keys."""
    if not path.exists():
        return ()
    found = orjson.loads(path.read_bytes())
    keys = found.values() if isinstance(found, dict) else found
    return tuple(sorted(hashlib.sha256(key.encode()).hexdigest() for key in keys))
