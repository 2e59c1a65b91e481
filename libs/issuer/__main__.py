"""`python -m libs.issuer serve`: the development issuer."""

from __future__ import annotations

import sys

import structlog

from libs.http.server import run_application
from libs.issuer.app import build_application
from libs.issuer.keys import load_keys
from libs.issuer.settings import IssuerSettings, read_clients
from libs.rpc.address import is_loopback
from libs.rpc.errors import StartError
from libs.telemetry import configure_logging

log = structlog.get_logger(__name__)


def main() -> None:
    """Serve until told to stop."""
    if sys.argv[1:] != ["serve"]:
        sys.exit("usage: python -m libs.issuer serve")
    configure_logging("issuer")
    try:
        _serve(IssuerSettings())
    except StartError as error:
        log.error("cannot start", problem=str(error))  # noqa: TRY400 - the text says it all
        sys.exit(1)


def _serve(settings: IssuerSettings) -> None:
    if not is_loopback(settings.address):
        raise StartError(
            f"the development issuer listens on loopback only, not on {settings.address}"
        )
    clients = read_clients(settings.clients_file)
    application = build_application(settings, load_keys(settings.key_file), clients)
    log.info("serving", issuer=settings.issuer, client_count=len(clients))
    run_application(application, settings.address)


if __name__ == "__main__":
    main()
