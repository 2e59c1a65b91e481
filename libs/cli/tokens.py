"""`leo token`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from uuid import UUID

import typer

from leo_sdk import ClientCredentials, LeoRpcError
from libs.cli.database import connected
from libs.cli.errors import CommandError, NoStackError, UsageError
from libs.embedded.credentials import DEVELOPER, load_credentials
from libs.postgres import roles
from libs.supervisor.stack import SCOPES
from libs.supervisor.state import data_folder, read_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PRESETS: Final[Mapping[str, tuple[str, ...]]] = {
    "ingest": ("leo.events.write", "leo.profiles.read", "leo.profiles.write"),
    "activation": (
        *("leo.segments.read", "leo.segments.write"),
        *("leo.decisions.read", "leo.decisions.write"),
        *("leo.dispatch.read", "leo.dispatch.write", "leo.channels.admin"),
    ),
    "read": tuple(scope for scope in SCOPES if scope.endswith(".read")),
    "admin": ("leo.tenants.admin",),
    "all": SCOPES,
}


def token(*, tenant: str, scopes: Sequence[str], preset: str) -> None:
    """Print a token of the development issuer and nothing else."""
    state = read_state(data_folder())
    if state is None:
        raise NoStackError
    if preset and preset not in PRESETS:
        raise UsageError(f'no preset "{preset}"; there are: {", ".join(PRESETS)}')
    wanted = [*PRESETS.get(preset, ()), *scopes]
    if not wanted:
        raise UsageError("name what the token is for: --preset ingest, or --scope …")
    typer.echo(asyncio.run(_fetch(state.token_url, tenant, " ".join(wanted))))


async def _fetch(token_url: str, tenant: str, scope: str) -> str:
    tokens = ClientCredentials(
        token_url,
        DEVELOPER,
        load_credentials(data_folder())[DEVELOPER],
        scope=scope,
        tenant_id=str(await tenant_id_of(tenant)) if tenant else None,
    )
    async with tokens:
        try:
            return await tokens.token()
        except LeoRpcError as error:
            raise CommandError(str(error)) from error


async def tenant_id_of(tenant: str) -> UUID:
    """The id of a tenant of the running stack, by its name or id. Raises CommandError."""
    with suppress(ValueError):
        return UUID(tenant)
    async with connected(roles.AUDITOR) as connection:
        found = await connection.fetchval("SELECT tenant_id FROM tenant WHERE name = $1", tenant)
    if found is None:
        raise CommandError(f'there is no tenant named "{tenant}"')
    return UUID(str(found))
