"""The HTTP client that hands messages to providers."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import aiohttp

from libs.rpc.address import is_public

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from types import SimpleNamespace

# Shorter than servers keep an idle connection: one that ends as we use it again leaves a doubt.
KEEP_ALIVE_SECONDS: Final = 10
RESPONSE_BYTES_MAX: Final = 256 * 1024
ENDLESS: Final = aiohttp.ClientTimeout(total=None, sock_connect=None)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A complete answer."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is one of 2xx."""
        return self.status // 100 == 2  # noqa: PLR2004 - the hundreds are what is asked for

    def __repr__(self) -> str:
        return f"<HTTP {self.status}, {len(self.body)} bytes>"


class NotSentError(Exception):
    """No byte of the request was written.

    Attributes:
        problem: address, header, private, name, tls, connect or timeout.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(f"the request was not sent: {problem}")
        self.problem = problem


class NoAnswerError(Exception):
    """Some or all of the request may have been written, and no complete answer came.

    Attributes:
        problem: lost, oversized or timeout.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(f"no complete answer came: {problem}")
        self.problem = problem


class HttpClient:
    """Sends each request at most once and says of a failure on which side of the first byte it was.

    It stands on aiohttp and adds what aiohttp does not tell: its exceptions name what broke, a
    time-out or a lost connection for example, but not whether the request was on its way by
    then, and for a message that is the difference between "again" and "never again". What aiohttp
    traces does tell it. Redirects, cookies, the environment's proxies and retries are off (aiohttp
    repeats idempotent methods alone, so there is only POST here); idle connections are kept.

    Its errors name neither addresses nor what was sent.
    """

    def __init__(self, *, private_addresses: bool) -> None:
        """Open no connection yet; needs a running event loop.

        Args:
            private_addresses: whether requests may go to this machine and private networks.
                Tenants configure where requests go: with False they reach the internet alone.
        """
        tracing = aiohttp.TraceConfig()
        tracing.on_request_headers_sent.append(_note_written)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                # None: whoever calls limits how many calls run at once, and whatever waited here
                # for a connection would wait after it was promised to go out.
                limit=0,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
                socket_factory=None if private_addresses else _public_socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            # aiohttp rounds time-outs up to whole seconds; `post` keeps its own, exactly.
            timeout=ENDLESS,
            trace_configs=[tracing],
            trust_env=False,
            # A small answer could unpack to any size.
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "LEO Activation"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections."""
        await self._session.close()

    async def post(
        self,
        url: str,
        *,
        body: bytes,
        headers: Mapping[str, str],
        timeout: timedelta,
        response_bytes_max: int = RESPONSE_BYTES_MAX,
    ) -> HttpResponse:
        """Send a request and give the answer, whatever its status.

        Args:
            url: an http or https address.
            body: as it is sent.
            headers: Content-Type among them.
            timeout: for all of it, from connecting to the answer's last byte. If it is over
                before the first byte, because the process slept, nothing is written.
            response_bytes_max: a longer answer counts as none.

        Raises:
            NotSentError: it is certain that nothing was written.
            NoAnswerError: the request may have arrived.
        """
        # aiohttp would refuse such a header only after it has traced it as sent.
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            raise NotSentError("header")
        progress = _Progress(time.monotonic() + timeout.total_seconds())
        try:
            async with (
                asyncio.timeout(timeout.total_seconds()),
                self._session.post(
                    url,
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    trace_request_ctx=progress,
                ) as response,
            ):
                answer = await _read(response, response_bytes_max)
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            # TimeoutError is an OSError; UnicodeError comes of a name that cannot be one.
            if progress.written:
                raise NoAnswerError(_problem_after(error)) from error
            raise NotSentError(_problem_before(error)) from error
        return HttpResponse(response.status, answer)


class _PrivateAddressError(OSError):
    """The address is not one of the internet."""


def _public_socket(target: aiohttp.AddrInfoType) -> socket.socket:
    """A socket for the address that is connected to, after all names are resolved."""
    family, kind, protocol, _, (host, *_) = target
    if not is_public(host):
        raise _PrivateAddressError
    return socket.socket(family, kind, protocol)


class _Progress:
    """How far one request came."""

    __slots__ = ("latest_seconds", "written")

    def __init__(self, latest_seconds: float) -> None:
        self.latest_seconds = latest_seconds
        self.written = False


async def _note_written(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    _parameters: aiohttp.TraceRequestHeadersSentParams,
) -> None:
    """Called immediately before the first byte, so what fails earlier wrote nothing."""
    progress: _Progress = context.trace_request_ctx
    if time.monotonic() > progress.latest_seconds:
        # The loop's own time-out may not have had its turn yet.
        raise TimeoutError
    progress.written = True


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """The body of an answer. Raises NoAnswerError where it is longer than `bytes_max`."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > bytes_max:
            response.close()
            raise NoAnswerError("oversized")
        parts.append(part)
    return b"".join(parts)


def _problem_before(error: Exception) -> str:
    if isinstance(error, (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, UnicodeError)):
        return "address"
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, _PrivateAddressError
    ):
        return "private"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "name"
    # aiohttp wraps some of what TLS refuses, and hands the rest on.
    if isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError, ssl.CertificateError)):
        return "tls"
    return "timeout" if isinstance(error, TimeoutError) else "connect"


def _problem_after(error: Exception) -> str:
    return "timeout" if isinstance(error, TimeoutError) else "lost"
