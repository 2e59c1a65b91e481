"""The client: one source of tokens, one attribute for each service."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import TYPE_CHECKING, Self

import grpc

from leo_sdk.calls import Calls, RetryPolicy
from leo_sdk.decisions import DecisionClient
from leo_sdk.dispatch import DispatchClient
from leo_sdk.ingest import IngestClient
from leo_sdk.segments import SegmentClient

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
    """Calls LEO Activation. Make one and share it: its connections carry many calls at once.

        tokens = ClientCredentials(token_url, "shop", secret, scope="leo.events.write")
        async with tokens, LeoClient("leo.example.vn:443", tokens) as client:
            result = await client.ingest.ingest_event(event(…))

    Every method of every service raises a LeoRpcError of the kind that says what to do, and takes a
    `timeout` for the logical call with all its tries; without one, the client's own holds. All
    calls are safe to repeat.

    Args:
        address: host:port of the ingest service, or of a proxy in front of all services.
        segment_address, decision_address, dispatch_address: host:port of a service that is not
            reached at `address`.
        tokens: where bearer tokens come from; whoever brings it closes it.
        timeout: the deadline of a logical call, all tries together, where it names none.
        credentials: how the connection is secured. Without any: TLS with the system's roots, but
            plaintext to a loopback address, so that a token never crosses a network in the clear.
        retry_policy: how long to wait between tries.

    Attributes:
        ingest: events, profiles, consent and tenants.
        segments: named audiences.
        decisions: campaigns, rules, and what was decided about an event.
        dispatch: templates, channel accounts and deliveries.
    """

    def __init__(
        self,
        address: str,
        tokens: TokenSource,
        *,
        segment_address: str | None = None,
        decision_address: str | None = None,
        dispatch_address: str | None = None,
        timeout: timedelta = timedelta(seconds=10),
        credentials: grpc.ChannelCredentials | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        self._credentials = credentials
        self._channels: dict[str, grpc.aio.Channel] = {}
        calls = Calls(tokens, retry_policy or RetryPolicy(), timeout)
        self.ingest = IngestClient(self._channel(address), calls)
        self.segments = SegmentClient(self._channel(segment_address or address), calls)
        self.decisions = DecisionClient(self._channel(decision_address or address), calls)
        self.dispatch = DispatchClient(self._channel(dispatch_address or address), calls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; calls that still run end."""
        for channel in self._channels.values():
            await channel.close()

    def _channel(self, address: str) -> grpc.aio.Channel:
        """The connection to an address, one for all services that are there; made at first use."""
        if address not in self._channels:
            if self._credentials is None and _is_loopback(address):
                channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
            else:
                channel = grpc.aio.secure_channel(
                    address,
                    self._credentials or grpc.ssl_channel_credentials(),
                    options=_CHANNEL_OPTIONS,
                )
            self._channels[address] = channel
        return self._channels[address]


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
