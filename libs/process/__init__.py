"""How a service runs: the commands of `python -m services.<name>`, and its door."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import uvloop

from libs.auth.interceptor import AuthInterceptor
from libs.auth.settings import AuthSettings
from libs.auth.verifier import TokenVerifier
from libs.rpc.errors import StartError
from libs.rpc.server import build_server, run
from libs.rpc.settings import ServerSettings
from libs.telemetry import configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from libs.postgres.database import Database
    from libs.rpc.server import Registration

__all__ = ["run_command", "serve_until_stopped"]


def run_command(
    service: str, commands: Mapping[str, Callable[[], Coroutine[None, None, None]]]
) -> int:
    """Run the one of `commands` that the command line names; the exit status."""
    name = " ".join(sys.argv[1:])
    if name not in commands:
        print(f"usage: python -m services.{service} {' | '.join(commands)}", file=sys.stderr)  # noqa: T201
        return 2
    configure_logging(service if name == "serve" else f"{service}-{name}")
    try:
        uvloop.run(commands[name]())
    except StartError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


async def serve_until_stopped(service: Registration, database: Database, address: str) -> None:
    """Serve to whoever brings a token, until SIGTERM; ready while database and issuer are there.

    Raises:
        StartError: the server may not or cannot listen on `address`, or an RPC declares no scope.
    """
    async with TokenVerifier(AuthSettings()) as verifier:
        server = build_server(
            [service],
            interceptors=[AuthInterceptor(verifier, [service.descriptor])],
            settings=ServerSettings(),
        )

        async def ready() -> None:
            await database.ping()
            await verifier.ready()

        await run(server, address, ready=ready)
