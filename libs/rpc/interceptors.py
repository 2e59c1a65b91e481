"""The outermost interceptor of every server: it begins the call and ends it with a status."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn
from uuid import UUID, uuid4

import structlog
from grpc.aio import AbortError
from grpc_interceptor import AsyncServerInterceptor
from grpc_status import rpc_status

from libs.rpc.call import Call, enter_call
from libs.rpc.errors import DeadlineError, LimitError
from libs.rpc.settings import OPEN_SERVICES
from libs.rpc.status import is_expected, status_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from grpc.aio import ServicerContext

    from libs.rpc.settings import ServerSettings

REQUEST_ID_KEY = "x-request-id"

log = structlog.get_logger(__name__)


class OverloadedError(LimitError):
    reason: ClassVar[str] = "OVERLOADED"


class CallDeadlineError(DeadlineError):
    reason: ClassVar[str] = "DEADLINE_PASSED"


class ErrorInterceptor(AsyncServerInterceptor):
    """Give each call an id and a deadline, and turn what it raises into one google.rpc.Status.

    It must be the outermost: gRPC would send the text of an exception that passes it to the client.
    It is the only caller of `abort_with_status`.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._call_count_max = settings.concurrent_call_count_max
        self._unary_seconds = settings.unary_deadline_default.total_seconds()
        self._stream_seconds = settings.stream_deadline_default.total_seconds()
        self._call_count = 0

    async def intercept(
        self,
        method: Callable[..., Any],
        request_or_iterator: Any,
        context: ServicerContext[Any, Any],
        method_name: str,
    ) -> Any:
        """Answer one call; the gRPC library calls this."""
        answer = _Answer(context, method_name)
        if method_name.startswith(OPEN_SERVICES):
            # A busy server is still asked how it is.
            pass
        elif self._call_count >= self._call_count_max:
            await answer.refuse(
                OverloadedError(
                    "the server answers as many calls as it can; retry later",
                    metadata={"concurrent_call_count_max": str(self._call_count_max)},
                )
            )
        try:
            result = method(request_or_iterator, context)
        except Exception as error:  # noqa: BLE001 - nothing may pass, or its text reaches the client
            await answer.refuse(error)
        if hasattr(result, "__aiter__"):
            return self._stream(result, answer)
        return await self._unary(result, answer)

    async def _unary(self, response: Awaitable[Any], answer: _Answer) -> Any:
        timeout = answer.begin(self._unary_seconds)
        self._call_count += 1
        try:
            async with timeout:
                return await response
        except Exception as error:  # noqa: BLE001 - as above
            await answer.refuse(error, timed_out=timeout.expired())
        finally:
            self._call_count -= 1

    async def _stream(self, responses: AsyncIterator[Any], answer: _Answer) -> AsyncIterator[Any]:
        timeout = answer.begin(self._stream_seconds)
        self._call_count += 1
        try:
            async with timeout:
                async for response in responses:
                    yield response
        except Exception as error:  # noqa: BLE001 - as above
            await answer.refuse(error, timed_out=timeout.expired())
        finally:
            self._call_count -= 1


class _Answer:
    """What is known of one call, and how it is ended."""

    __slots__ = ("_call_id", "_context", "_method_name")

    def __init__(self, context: ServicerContext[Any, Any], method_name: str) -> None:
        self._context = context
        self._method_name = method_name
        self._call_id = _call_id(context)

    def begin(self, default_seconds: float) -> asyncio.Timeout:
        """Make this the current call; the time-out is ours only if the caller gave no deadline."""
        remaining: float | None = self._context.time_remaining()
        seconds = default_seconds if remaining is None else remaining
        enter_call(Call(self._call_id, self._method_name, time.monotonic() + seconds))
        return asyncio.timeout(seconds if remaining is None else None)

    async def refuse(self, error: Exception, *, timed_out: bool = False) -> NoReturn:
        if isinstance(error, AbortError):
            raise error
        if timed_out and isinstance(error, TimeoutError):
            error = CallDeadlineError(
                "the call took longer than a call without a deadline may; give it one"
            )
        if not is_expected(error):
            log.error(
                "call failed", method=self._method_name, call_id=self._call_id, exc_info=error
            )
        status = status_of(error, call_id=self._call_id)
        await self._context.abort_with_status(rpc_status.to_status(status))
        raise AssertionError("abort_with_status always raises")


def _call_id(context: ServicerContext[Any, Any]) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY:
            try:
                return str(UUID(str(value)))
            except ValueError:
                break
    return str(uuid4())
