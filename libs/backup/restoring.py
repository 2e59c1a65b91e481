"""Restoring a backup: whole, in its place at once, and with nothing sent by itself.

Everything is done beside the data folder's database and, but for two renames at the end, before it
is touched: the copy is verified, brought to this version's schema, and told what a restore means by
the services whose tables these are. Whoever is killed leaves the database of before.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import asyncpg

from libs.backup.held import Held, read_held
from libs.backup.record import DATABASE_FOLDER, missing_keys, read_record
from libs.backup.taking import megabytes
from libs.embedded.installation import run_program
from libs.embedded.postgres import RESTORED, EmbeddedPostgres
from libs.embedded.process import server_user
from libs.postgres import roles
from libs.postgres.migrations import MigrationError
from libs.rpc.errors import StartError
from libs.supervisor.audit import checkpoint_file
from libs.supervisor.stack import set_up_database
from libs.supervisor.state import DATABASE

if TYPE_CHECKING:
    from pathlib import Path

    from libs.backup.record import BackupRecord

RESTORING: Final = "postgres.restoring"
# Whose tables a restore concerns, and as whom each works: no tenant may send before anything else.
_STEPS: Final = (("services.ingest", roles.INGEST), ("services.dispatch", roles.DISPATCH))


@dataclass(frozen=True, slots=True)
class Restored:
    """A finished restore.

    Attributes:
        tenants: each, with what waits and what is in doubt.
        before: the database that was in its place; None where there was none.
        checkpoints_before: the checkpoints of the chains of then; None where there were none.
        problems: what the data folder's keys cannot do for the restored database, in words.
    """

    record: BackupRecord
    tenants: list[Held]
    before: Path | None
    checkpoints_before: Path | None
    problems: list[str]
    seconds: float


class Restore:
    """A restore into one data folder, which the caller holds (libs.supervisor.state.lock)."""

    def __init__(self, data_folder: Path, backup: Path) -> None:
        self._data_folder = data_folder
        self._backup = backup
        self._server = EmbeddedPostgres(data_folder, name=RESTORING)
        self._place = EmbeddedPostgres(data_folder).folder

    async def check(self) -> tuple[BackupRecord, bool]:
        """Refuse what cannot be restored; else its record, and whether it replaces a database.

        Raises:
            StartError: it is no backup, needs another version, or there is no room for it.
        """
        installation = await self._server.prepare()
        record = read_record(self._backup, installation)
        # Of a stack or a restore that was killed.
        await self._server.until_let_go(installation)
        await EmbeddedPostgres(self._data_folder).until_let_go(installation)
        shutil.rmtree(self._server.folder, ignore_errors=True)
        shutil.rmtree(self._place.with_name(RESTORED), ignore_errors=True)
        free = shutil.disk_usage(self._place.parent).free
        if free < record.byte_count:
            raise StartError(
                f"{self._place.parent} has {megabytes(free)} left, and the backup takes "
                f"{megabytes(record.byte_count)}: make room"
            )
        return record, self._place.exists()

    async def run(self, record: BackupRecord) -> Restored:
        """Restore what `check` looked at.

        Raises:
            StartError: the backup is damaged, or its database cannot be brought to this version;
                the database of before is in its place.
        """
        began = time.monotonic()
        try:
            installation = await self._server.prepare()
            self._copy(installation)
            tenants = await self._make_ready(installation)
            before, checkpoints = self._put_in_place()
        finally:
            shutil.rmtree(self._server.folder, ignore_errors=True)
        return Restored(
            record=record,
            tenants=tenants,
            before=before,
            checkpoints_before=checkpoints,
            problems=missing_keys(record, self._data_folder),
            seconds=time.monotonic() - began,
        )

    def _copy(self, installation: Path) -> None:
        copy = self._server.folder
        try:
            shutil.copytree(self._backup / DATABASE_FOLDER, copy)
            run_program(installation, "pg_verifybackup", ["--exit-on-error", "--quiet", str(copy)])
        except (shutil.Error, OSError) as error:
            raise StartError(f"the backup cannot be copied: {_told(error)}") from error
        except StartError as error:
            raise StartError(f"the backup is damaged, and nothing was replaced: {error}") from error
        if (user := server_user()) is not None:
            for path in (copy, *copy.rglob("*")):
                os.chown(path, user, user)

    async def _make_ready(self, installation: Path) -> list[Held]:
        """Bring the copy to this version, and let nothing of it be sent by itself."""
        self._server.set_password(installation)
        try:
            await self._server.start()
            await set_up_database(self._server, self._data_folder)
            for module, role in _STEPS:
                self._tell_restored(module, role)
            auditor = await asyncpg.connect(self._server.dsn(roles.AUDITOR, DATABASE))
            try:
                return await read_held(auditor)
            finally:
                await auditor.close()
        except MigrationError as error:
            raise StartError(f"{error}; nothing was replaced") from error
        finally:
            await self._server.stop()

    def _tell_restored(self, module: str, role: str) -> None:
        # The work is a service's, which the tools for people start and never import.
        environment = os.environ | {
            "LEO_POSTGRES_DSN": self._server.dsn(role, DATABASE),
            "LEO_POSTGRES_FINDER_DSN": self._server.dsn(roles.FINDER, DATABASE),
            "LEO_LOG_LEVEL": "WARNING",
        }
        command = [sys.executable, "-P", "-m", module, "after-restore"]
        # What it says goes to the reader.
        done = subprocess.run(command, env=environment, check=False)  # noqa: S603 - it is ours
        if done.returncode != 0:
            raise StartError(
                f"{module} could not prepare the restored database, the reason stands above; "
                "nothing was replaced"
            )

    def _put_in_place(self) -> tuple[Path | None, Path | None]:
        """Let the copy take the database's place; where those of before are now."""
        stamp = f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}"
        # Doorbells and counts of a database that is not there any more.
        shutil.rmtree(self._data_folder / "valkey", ignore_errors=True)
        checkpoints = checkpoint_file(self._data_folder)
        checkpoints_before = None
        restored = self._place.with_name(RESTORED)
        # From here on it is whole: a kill between the two renames below is made good by the next
        # start (EmbeddedPostgres.prepare).
        self._server.folder.rename(restored)
        if checkpoints.exists():
            # They are of chains that went on: they stay what they are, evidence, and a new file
            # begins with the chains as they are now.
            checkpoints_before = checkpoints.with_name(f"checkpoints.before-{stamp}.jsonl")
            checkpoints.rename(checkpoints_before)
        before = None
        if self._place.exists():
            before = self._place.with_name(f"postgres.before-{stamp}")
            self._place.rename(before)
        restored.rename(self._place)
        return before, checkpoints_before


def _told(error: OSError) -> str:
    """What went wrong, in one line; a tree's copy collects one failure for each file."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        source, _, problem = error.args[0][0]
        return f"{source}: {problem}"
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
