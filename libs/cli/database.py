"""`leo psql` and `leo migrate`."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import typer

from libs.cli.errors import CommandError, NoStackError, UsageError
from libs.embedded.credentials import load_credentials
from libs.embedded.installation import check_libraries, install_postgres, library_environment
from libs.postgres import roles
from libs.postgres.migrations import MigrationError, migrate_down, migrate_up
from libs.supervisor.state import DATABASE, data_folder, read_state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

_CONNECT_TIMEOUT_SECONDS: Final = 10
_ROLES: Final[Mapping[str, str]] = {"auditor": roles.AUDITOR, "owner": roles.MIGRATE}


def psql(role: str, arguments: Sequence[str]) -> None:
    """Become psql on the running stack's database."""
    if role not in _ROLES:
        raise UsageError(f'--as takes {" or ".join(_ROLES)}, not "{role}"')
    parts = urlsplit(dsn_of(_ROLES[role]))
    installation = install_postgres()
    program = installation / "bin" / "psql"
    check_libraries(program)
    # Other users can read an argument, not the environment.
    environment = os.environ | library_environment(installation)
    environment["PGPASSWORD"] = parts.password or ""
    address = urlunsplit(parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}"))
    os.execve(program, [str(program), "-X", address, *arguments], environment)  # noqa: S606


def migrate(direction: str) -> None:
    """Migrate the running stack's database."""
    if direction not in {"up", "down"}:
        raise UsageError(f'migrate takes up or down, not "{direction}"')
    dsn = dsn_of(roles.MIGRATE)
    try:
        if direction == "up":
            asyncio.run(migrate_up(dsn))
        else:
            asyncio.run(migrate_down(dsn, 1))
    except MigrationError as error:
        raise CommandError(str(error)) from error
    typer.echo("The schema is up to date." if direction == "up" else "One migration was undone.")


def dsn_of(role: str) -> str:
    """The address of the running stack's database as one role.

    Raises:
        NoStackError: none is running.
    """
    state = read_state(data_folder())
    if state is None:
        raise NoStackError
    password = load_credentials(data_folder())[role]
    return f"postgresql://{role}:{password}@{state.address('postgres')}/{DATABASE}"


@asynccontextmanager
async def connected(role: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the running stack's database as one role.

    Raises:
        NoStackError: none is running.
        CommandError: the database does not answer, or goes away meanwhile.
    """
    problem = "the database does not answer; `leo status` says whether it is being restarted"
    try:
        connection = await asyncpg.connect(dsn_of(role), timeout=_CONNECT_TIMEOUT_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CommandError(problem) from error
    try:
        yield connection
    except asyncpg.PostgresConnectionError as error:
        raise CommandError(problem) from error
    finally:
        connection.terminate()
