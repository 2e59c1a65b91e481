from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

SCRIPT = """
import logging, structlog
from libs.rpc.call import Call, enter_call
from libs.rpc.errors import StartError
from libs.telemetry import configure_logging

configure_logging("ingest")
log = structlog.get_logger("ours")
log.debug("hidden")
enter_call(Call("call-1", "/a/b", 0.0))
log.info("told", profile_count=3)
logging.getLogger("grpc").warning("of a %s", "library")
logging.getLogger("httpx").info("https://bot.example/canary-token")
try:
    try:
        raise ValueError("Key (email)=(canary@example.org) already exists")
    except ValueError as error:
        raise StartError("the port is taken") from error
except StartError:
    log.exception("failed")
    logging.getLogger("uvicorn.error").exception("failed too")
try:
    raise KeyError("canary")
except KeyError as error:
    log.error("failed by hand", exc_info=error)
"""


def run(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | environment,
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout == ""
    return done.stderr


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(LEO_LOG_FORMAT="json").splitlines()]


def test_every_line_says_when_where_and_in_which_call() -> None:
    told, library, *_ = lines()
    assert (told["event"], told["level"], told["process"]) == ("told", "info", "ingest")
    assert (told["logger"], told["call_id"], told["profile_count"]) == ("ours", "call-1", 3)
    assert told["timestamp"].endswith("Z")
    assert (library["event"], library["logger"]) == ("of a library", "grpc")
    assert library["call_id"] == "call-1"


def test_exceptions_are_told_without_the_text_of_strangers() -> None:
    events = {line["event"]: line for line in lines()}
    assert list(events) == ["told", "of a library", "failed", "failed too", "failed by hand"]
    for event in ("failed", "failed too"):
        told = events[event]["exception"]
        assert "libs.rpc.errors.StartError: the port is taken" in told
        assert "caused by builtins.ValueError\n" in told
    assert "builtins.KeyError\n" in events["failed by hand"]["exception"]
    assert "canary" not in run(LEO_LOG_FORMAT="json", LEO_LOG_LEVEL="DEBUG")
    assert "canary" not in run(LEO_LOG_FORMAT="console", LEO_LOG_LEVEL="DEBUG")


def test_the_level_is_a_setting() -> None:
    assert "hidden" in run(LEO_LOG_LEVEL="DEBUG")
