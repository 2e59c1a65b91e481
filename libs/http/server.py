"""Serve a FastAPI application until the process is told to stop."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import uvicorn

from libs.rpc.address import split_address

if TYPE_CHECKING:
    from types import FrameType

    from fastapi import FastAPI

SHUTDOWN_GRACE_SECONDS = 10


def run_application(application: FastAPI, address: str) -> None:
    """Serve on "host:port" until SIGTERM or SIGINT, then end with exit status 0.

    Raises:
        SystemExit: always, at the end.
    """
    # uvicorn raises the signal again once it has stopped; by default that would end us with -15.
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    host, port = split_address(address)
    uvicorn.run(
        application,
        host=host,
        port=port,
        loop="uvloop",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_GRACE_SECONDS,
    )


def _exit(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(0)
