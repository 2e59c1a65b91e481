"""The client: one connection, one source of tokens, one attribute for each service."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import TYPE_CHECKING, Self

import grpc

from leo_sdk.calls import RetryPolicy
from leo_sdk.ingest import IngestClient

if TYPE_CHECKING:
    from leo_sdk.tokens import TokenSource

_CHANNEL_OPTIONS = (
    # The client's own retries know deadlines, tokens and RetryInfo; two layers would multiply.
    ("grpc.enable_retries", 0),
    # A restarted server is found within a second; the library would wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class LeoClient:
    """Calls LEO Activation. Make one and share it: it is one HTTP/2 connection for many calls.

        tokens = ClientCredentials(token_url, "shop", secret, scope="leo.events.write")
        async with tokens, LeoClient("ingest.example.vn:443", tokens) as client:
            result = await client.ingest.ingest_event(event(…))

    Args:
        address: host:port of the ingest service.
        tokens: where bearer tokens come from; whoever brings it closes it.
        timeout: the deadline of a logical call, all tries together, where it names none.
        credentials: how the connection is secured. Without any: TLS with the system's roots, but
            plaintext to a loopback address, so that a token never crosses a network in the clear.
        retry_policy: how long to wait between tries.

    Attributes:
        ingest: events, profiles, consent and tenants.
    """

    def __init__(
        self,
        address: str,
        tokens: TokenSource,
        *,
        timeout: timedelta = timedelta(seconds=10),
        credentials: grpc.ChannelCredentials | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        if credentials is None and _is_loopback(address):
            self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(
                address, credentials or grpc.ssl_channel_credentials(), options=_CHANNEL_OPTIONS
            )
        self.ingest = IngestClient(
            self._channel, tokens=tokens, policy=retry_policy or RetryPolicy(), timeout=timeout
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection; calls that still run end."""
        await self._channel.close()


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
