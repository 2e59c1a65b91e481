"""One logical call: tries, tokens and waits, all within its deadline."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar
from uuid import uuid4

import grpc

from leo_sdk.errors import (
    SDK_DOMAIN,
    DeadlineError,
    LeoRpcError,
    LimitError,
    UnauthenticatedError,
    UnavailableError,
    error_of_call,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from leo_sdk.tokens import TokenSource

_log = logging.getLogger("leo_sdk")

_Request_contra = TypeVar("_Request_contra", contravariant=True)
_Response_co = TypeVar("_Response_co", covariant=True)
_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long the client waits between tries.

    Attributes:
        backoff_first: bound of the first wait; it doubles with each try.
        backoff_max: the bound grows no further.
    """

    backoff_first: timedelta = timedelta(milliseconds=50)
    backoff_max: timedelta = timedelta(seconds=2)


class Backoff:
    """Waits with full jitter: anything between nothing and a bound that doubles.

    Full jitter, because callers that were cut off together must not come back together.
    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._first_seconds = policy.backoff_first.total_seconds()
        self._max_seconds = policy.backoff_max.total_seconds()
        self._bound_seconds = self._first_seconds

    def next_seconds(self, retry_after: timedelta | None) -> float:
        """The next wait; never less than what the server asks for."""
        wait_seconds = random.uniform(0, self._bound_seconds)  # noqa: S311, not a secret
        self._bound_seconds = min(self._bound_seconds * 2, self._max_seconds)
        return wait_seconds + (retry_after.total_seconds() if retry_after else 0.0)

    def reset(self) -> None:
        """Start over: the last try got somewhere."""
        self._bound_seconds = self._first_seconds


class UnaryMethod(Protocol[_Request_contra, _Response_co]):
    """A method of a generated stub."""

    def __call__(
        self,
        request: _Request_contra,
        /,
        *,
        timeout: float,
        metadata: tuple[tuple[str, str], ...],
    ) -> Awaitable[_Response_co]: ...


def is_retryable(error: LeoRpcError) -> bool:
    """Whether the same call may be sent again by itself (AIP-194, and a limit that says when)."""
    if isinstance(error, LimitError):
        return error.retry_after is not None
    return isinstance(error, UnavailableError)


def call_metadata(token: str, call_id: str) -> tuple[tuple[str, str], ...]:
    """The metadata of one try. The call id is the same on every try, so logs show one call."""
    return (("authorization", f"Bearer {token}"), ("x-request-id", call_id))


async def call_unary(
    method: UnaryMethod[_Request, _Response],
    request: _Request,
    *,
    tokens: TokenSource,
    policy: RetryPolicy,
    timeout: timedelta,
) -> _Response:
    """Call until it succeeds, fails for good, or the next try would start behind the deadline.

    UNAVAILABLE is always tried again, RESOURCE_EXHAUSTED if the server says when, and
    UNAUTHENTICATED once, with a new token.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout.total_seconds()
    call_id = str(uuid4())
    backoff = Backoff(policy)
    refused: str | None = None
    rejection: LeoRpcError | None = None
    while True:
        token = ""
        try:
            token = await _token_before(deadline, tokens, refused, call_id)
            if rejection is not None and token == refused:
                raise rejection
            return await method(
                request,
                timeout=max(deadline - loop.time(), 0.0),
                metadata=call_metadata(token, call_id),
            )
        except grpc.aio.AioRpcError as failure:
            error = error_of_call(failure, call_id=call_id)
            error.__cause__ = failure
        except LeoRpcError as failure:
            error = failure
        if isinstance(error, UnauthenticatedError) and token and rejection is None:
            refused, rejection = token, error
            continue
        if not is_retryable(error):
            raise error
        wait_seconds = backoff.next_seconds(error.retry_after)
        if loop.time() + wait_seconds >= deadline:
            raise error
        _log.debug("call %s: %s, trying again in %.3f s", call_id, error.code.name, wait_seconds)
        await asyncio.sleep(wait_seconds)


@dataclass(frozen=True, slots=True)
class Calls:
    """How one client calls all services.

    Attributes:
        timeout: of a logical call that names none.
    """

    tokens: TokenSource
    policy: RetryPolicy
    timeout: timedelta

    async def unary(
        self,
        method: UnaryMethod[_Request, _Response],
        request: _Request,
        timeout: timedelta | None,
    ) -> _Response:
        """Make one logical call, as call_unary does."""
        return await call_unary(
            method,
            request,
            tokens=self.tokens,
            policy=self.policy,
            timeout=self.timeout if timeout is None else timeout,
        )


async def _token_before(
    deadline: float, tokens: TokenSource, refused: str | None, call_id: str
) -> str:
    try:
        async with asyncio.timeout_at(deadline):
            return await tokens.token(refused=refused)
    except TimeoutError as failure:
        raise DeadlineError(
            "no token arrived before the call's deadline",
            code=grpc.StatusCode.DEADLINE_EXCEEDED,
            reason="TOKEN_LATE",
            domain=SDK_DOMAIN,
            call_id=call_id,
        ) from failure
