"""Roles, database, extensions and schema: everything between an empty server and a ready one."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import asyncpg

from libs.postgres import roles
from libs.postgres.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Mapping

MIGRATIONS_FOLDER = Path(__file__).parents[2] / "migrations"

_QUERIES = load_queries(__file__)


class MigrationError(Exception):
    """The schema cannot be brought where it should be; the message says what dbmate said."""


async def bootstrap(superuser_dsn: str, passwords: Mapping[str, str], database: str) -> None:
    """Make the roles, the database and its extensions; run again, it changes nothing.

    Args:
        superuser_dsn: any database of the server.
        passwords: of each of roles.LOGIN_ROLES; they replace what was set before.
        database: its name.

    Raises:
        ValueError: a role's password is missing.
    """
    missing = [role for role in roles.LOGIN_ROLES if not passwords.get(role)]
    if missing:
        raise ValueError(f"no password for {', '.join(missing)}")
    server = await asyncpg.connect(superuser_dsn)
    try:
        await _QUERIES.lock_bootstrap(server)
        await server.execute(_script("bootstrap_server.sql"))
        async with server.transaction():
            await _QUERIES.keep_passwords_out_of_the_log(server)
            for role in roles.LOGIN_ROLES:
                await server.execute(
                    await _QUERIES.alter_password(server, role=role, password=passwords[role])
                )
        if not await _QUERIES.database_exists(server, database=database):
            await server.execute(
                await _QUERIES.create_database(server, database=database, owner=roles.OWNER)
            )
        inside = await asyncpg.connect(superuser_dsn, database=database)
        try:
            await inside.execute(_script("bootstrap_database.sql"))
        finally:
            await inside.close()
    finally:
        await server.close()


async def migrate_up(dsn: str) -> None:
    """Run every migration that is missing; `dsn` is of the role leo_migrate.

    Raises:
        MigrationError: one failed; those before it stand, it left nothing behind.
    """
    await _dbmate(dsn, "migrate")


async def migrate_down(dsn: str, steps: int) -> None:
    """Take the last `steps` migrations back; `dsn` is of the role leo_migrate.

    Raises:
        MigrationError: one failed, or there are fewer.
    """
    for _ in range(steps):
        await _dbmate(dsn, "rollback")


def _script(name: str) -> str:
    return (MIGRATIONS_FOLDER / name).read_text(encoding="utf-8")


async def _dbmate(dsn: str, command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        _dbmate_path(),
        "--migrations-dir",
        str(MIGRATIONS_FOLDER),
        "--no-dump-schema",
        "--migration-lock",
        command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # The URL holds a password: other users can read an argument, not the environment.
        env={"PATH": os.environ.get("PATH", ""), "DATABASE_URL": _url(dsn)},
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        said = output.decode(errors="replace").strip()
        raise MigrationError(f"dbmate {command} failed: {said}")


def _dbmate_path() -> str:
    beside_python = Path(sys.executable).with_name("dbmate")
    found = str(beside_python) if beside_python.exists() else shutil.which("dbmate")
    if found is None:
        raise MigrationError("the program dbmate is missing; run make setup")
    return found


def _url(dsn: str) -> str:
    """The DSN for dbmate's driver, which asks for TLS unless told otherwise, as libpq does not."""
    parts = urlsplit(dsn)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    query.setdefault(
        "sslmode", "disable" if parts.hostname in {"127.0.0.1", "localhost"} else "require"
    )
    return urlunsplit(parts._replace(scheme="postgres", query=urlencode(query)))
