"""`python -m services.edge serve`: the HTTP door."""

from __future__ import annotations

import sys

import structlog

from libs.http.server import run_application
from libs.relay.settings import InternalSettings
from libs.rpc.address import check_plaintext
from libs.rpc.errors import StartError
from libs.telemetry import configure_logging
from libs.unsubscribe import UnsubscribeSettings
from services.edge.app import build_application
from services.edge.settings import EdgeSettings

log = structlog.get_logger(__name__)


def main() -> None:
    """Serve until told to stop."""
    if sys.argv[1:] != ["serve"]:
        sys.exit("usage: python -m services.edge serve")
    configure_logging("edge")
    settings = EdgeSettings()
    try:
        check_plaintext(
            settings.address,
            behind_tls_proxy=settings.behind_tls_proxy,
            setting="LEO_EDGE_BEHIND_TLS_PROXY",
        )
        links = UnsubscribeSettings().links()
    except StartError as error:
        log.error("cannot start", problem=str(error))  # noqa: TRY400 - the text says it all
        sys.exit(1)
    run_application(build_application(settings, InternalSettings(), links), settings.address)


if __name__ == "__main__":
    main()
