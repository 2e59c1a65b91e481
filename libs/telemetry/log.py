"""One log for our own lines and those of the libraries, without personal data.

Field values and the text of unknown exceptions may name people (a driver quotes the row that it
refuses), so an exception is logged as its types and places; only texts that are written to be shown
stand in full.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING, Literal

import structlog
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.rpc.call import find_call
from libs.rpc.errors import LeoError, StartError

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

# Their INFO carries full URLs, and a URL may carry a secret.
QUIET_LOGGERS = ("httpx", "httpcore", "asyncio", "uvicorn.access")
CAUSE_COUNT_MAX = 5


class LogSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="LEO_LOG_")

    # "console" on a terminal, else "json".
    format: Literal["json", "console"] | None = None
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


def configure_logging(process: str) -> None:
    """Send every log line of this process, the libraries' too, to stderr in one form.

    `process` names the process in each line, such as "ingest". LEO_LOG_FORMAT and LEO_LOG_LEVEL
    decide the form and how much.
    """
    settings = LogSettings()
    log_format = settings.format or ("console" if sys.stderr.isatty() else "json")

    def add_process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_process,
        _add_call_id,
        _tell_exception,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    # The libraries that bring handlers of their own speak through ours.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "grpc", "asyncpg"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def _add_call_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    call = find_call()
    if call is not None:
        event.setdefault("call_id", call.call_id)
    return event


def _tell_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    exc_info = event.pop("exc_info", None)
    if not exc_info:
        return event
    if isinstance(exc_info, BaseException):
        error: BaseException | None = exc_info
    elif isinstance(exc_info, tuple):
        error = exc_info[1]
    else:
        error = sys.exception()
    if error is not None:
        event["exception"] = describe_exception(error)
    return event


def describe_exception(error: BaseException) -> str:
    """Tell an exception and its causes by type and place, the root cause last."""
    parts: list[str] = []
    current: BaseException | None = error
    while current is not None and len(parts) < CAUSE_COUNT_MAX:
        kind = f"{type(current).__module__}.{type(current).__qualname__}"
        # Written by us or by the operating system; anything else may quote a person's data.
        text = f": {current}" if isinstance(current, (LeoError, StartError, OSError)) else ""
        places = "".join(
            f"\n  {frame.filename}:{frame.lineno} in {frame.name}"
            for frame in traceback.extract_tb(current.__traceback__)
        )
        parts.append(f"{kind}{text}{places}")
        if current.__suppress_context__ or current.__cause__ is not None:
            current = current.__cause__
        else:
            current = current.__context__
    return "\ncaused by ".join(parts)
