"""`python -m libs.simulator serve`: the providers, simulated."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import structlog
import uvloop
from aiohttp import web

from libs.rpc.address import is_loopback, split_address
from libs.rpc.errors import StartError
from libs.simulator.app import build_application
from libs.simulator.settings import read_settings
from libs.telemetry import configure_logging

if TYPE_CHECKING:
    from libs.simulator.settings import SimulatorSettings

SHUTDOWN_GRACE_SECONDS = 2

log = structlog.get_logger(__name__)


def main() -> None:
    """Serve until told to stop."""
    if sys.argv[1:] != ["serve"]:
        sys.exit("usage: python -m libs.simulator serve")
    configure_logging("simulator")
    try:
        _serve(read_settings())
    except StartError as error:
        log.error("cannot start", problem=str(error))  # noqa: TRY400 - the text says it all
        sys.exit(1)


def _serve(settings: SimulatorSettings) -> None:
    for address in (settings.address, settings.smtp_address):
        if not is_loopback(address):
            raise StartError(f"the simulator listens on loopback only, not on {address}")
    host, port = split_address(settings.address)
    application = build_application(settings)
    log.info("serving", address=settings.address, witness_file=str(settings.witness_file))
    try:
        web.run_app(
            application,
            host=host,
            port=port,
            # A caller that leaves ends an answer that hangs.
            handler_cancellation=True,
            shutdown_timeout=SHUTDOWN_GRACE_SECONDS,
            access_log=None,
            print=None,
            loop=uvloop.new_event_loop(),
        )
    except OSError as error:
        raise StartError(f"cannot listen on {settings.address}: {error.strerror}") from error


if __name__ == "__main__":
    main()
