"""Taking a backup of the running stack, with PostgreSQL's own tools."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import asyncpg

from libs.backup.record import DATABASE_FOLDER, RECORD_FILE, new_record
from libs.embedded.credentials import SUPERUSER, load_credentials, write_secret
from libs.embedded.installation import install_postgres, run_program
from libs.embedded.postgres import EmbeddedPostgres
from libs.postgres import roles
from libs.postgres.queries import load_queries
from libs.rpc.address import split_address
from libs.rpc.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

    from libs.backup.record import BackupRecord
    from libs.supervisor.running import RunningStack

_QUERIES = load_queries(__file__)
_UNFINISHED: Final = ".unfinished"
# What was written during the backup comes on top of what the database holds at its beginning.
_ROOM: Final = 1.1


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished backup."""

    path: Path
    record: BackupRecord
    seconds: float


async def take_backup(stack: RunningStack, target: Path) -> Backup:
    """Copy the database of a running stack into a new folder, and verify the copy.

    Nobody waits for it. The folder has its name only once everything in it is whole and on the
    disk, and its owner alone may read it.

    Args:
        stack: whose database it is.
        target: the folder; its parent exists, it does not.

    Raises:
        StartError: the target cannot be one, the database is away, or the copy is not whole.
        OSError: the target cannot be written.
    """
    began, created_at = time.monotonic(), datetime.now(UTC)
    unfinished = _check_target(stack.folder, target)
    installation = install_postgres()
    server_version, _, byte_count = await _look(stack)
    free = shutil.disk_usage(target.parent).free
    if free < byte_count * _ROOM:
        raise StartError(
            f"{target.parent} has {megabytes(free)} left, and the database takes "
            f"{megabytes(byte_count)}: make room, or name another folder"
        )
    try:
        unfinished.mkdir(mode=0o700)
    except FileExistsError:
        raise StartError(
            f"{unfinished} is there: another backup is being made, or one was killed. Remove it "
            "in the second case"
        ) from None
    try:
        database = unfinished / DATABASE_FOLDER
        await _copy(stack, installation, database)
        run_program(installation, "pg_verifybackup", ["--exit-on-error", "--quiet", str(database)])
        # Behind the copy, which ends with what was committed by now.
        _, schema_versions, _ = await _look(stack)
        record = new_record(
            stack.folder,
            created_at=created_at,
            server_version=server_version,
            schema_versions=schema_versions,
            byte_count=sum(path.lstat().st_size for path in unfinished.rglob("*")),
        )
        write_secret(unfinished / RECORD_FILE, record.model_dump_json(indent=2) + "\n")
        _sync(unfinished)
        unfinished.rename(target)
        _sync(target.parent)
    except BaseException:  # also Ctrl-C: what is not whole is nothing
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return Backup(target, record, time.monotonic() - began)


def megabytes(byte_count: float) -> str:
    """A size for people."""
    return f"{byte_count / 1e6:,.1f} MB"


def _check_target(data_folder: Path, target: Path) -> Path:
    """The name under which the target comes into being."""
    if os.path.lexists(target):
        raise StartError(f"{target} is there already, and is not replaced: name another folder")
    database = EmbeddedPostgres(data_folder).folder
    if target.resolve().is_relative_to(database):
        raise StartError(f"{target} lies within the database {database}: name another folder")
    return target.with_name(target.name + _UNFINISHED)


async def _look(stack: RunningStack) -> tuple[str, tuple[str, ...], int]:
    """The server's version, the migrations that were run, and how many bytes all of it takes."""
    try:
        connection = await asyncpg.connect(stack.dsn(roles.MIGRATE), timeout=10)
        try:
            row = await _QUERIES.look(connection)
        finally:
            await connection.close()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StartError(
            "the database does not answer; `leo status` says whether it is being restarted"
        ) from error
    return row["server_version"], tuple(row["schema_versions"]), row["byte_count"]


async def _copy(stack: RunningStack, installation: Path, database: Path) -> None:
    host, port = split_address(stack.state.address("postgres"))
    run_program(
        installation,
        "pg_basebackup",
        [
            f"--pgdata={database}",
            f"--host={host}",
            f"--port={port}",
            f"--username={SUPERUSER}",
            "--no-password",
            # With what is written meanwhile, so that the copy is whole by itself.
            "--wal-method=stream",
            "--checkpoint=fast",
            "--manifest-checksums=SHA256",
        ],
        environment={"PGPASSWORD": load_credentials(stack.folder)[SUPERUSER]},
    )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
