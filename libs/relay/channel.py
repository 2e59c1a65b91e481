"""A connection from one of our services to another."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, Self, TypeVar
from uuid import uuid4

import grpc

from leo_sdk import ClientCredentials, UnauthenticatedError
from leo_sdk.calls import call_metadata
from leo_sdk.errors import error_of_call
from libs.auth.caller import INTERNAL_SCOPE
from libs.auth.interceptor import TENANT_KEY
from libs.rpc.address import is_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from uuid import UUID

    from libs.relay.settings import InternalSettings

CALL_TIMEOUT = timedelta(seconds=10)

_OPTIONS = (
    # Whoever calls knows better whether to call again.
    ("grpc.enable_retries", 0),
    # A restarted service is found within a second; the library would wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # What comes back is as large as what our own service may send.
    ("grpc.max_receive_message_length", -1),
)

_Request_contra = TypeVar("_Request_contra", contravariant=True)
_Response_co = TypeVar("_Response_co", covariant=True)
_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


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


class InternalChannel:
    """One connection for many calls, with this service's own identity.

        async with InternalChannel("127.0.0.1:7053", InternalSettings()) as decision:
            stub = DecisionServiceStub(decision.channel)
            response = await decision.call(stub.BatchActivate, request, tenant_id=tenant_id)

    Attributes:
        channel: for generated stubs.
    """

    def __init__(self, address: str, settings: InternalSettings) -> None:
        self._tokens = ClientCredentials(
            settings.token_url,
            settings.client_id,
            settings.client_secret.get_secret_value(),
            scope=INTERNAL_SCOPE,
        )
        # A token never crosses a network in the clear.
        self.channel: grpc.aio.Channel = (
            grpc.aio.insecure_channel(address, options=_OPTIONS)
            if is_loopback(address)
            else grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(), options=_OPTIONS)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()
        await self._tokens.aclose()

    async def call(
        self,
        method: UnaryMethod[_Request, _Response],
        request: _Request,
        *,
        tenant_id: UUID,
        timeout: timedelta = CALL_TIMEOUT,
    ) -> _Response:
        """Call once, on behalf of a tenant.

        Raises:
            LeoRpcError: of the kind that says what happened, also where no token could be had.
        """
        call_id = str(uuid4())
        token = await self._tokens.token()
        for attempt in (1, 2):
            try:
                return await method(
                    request,
                    timeout=timeout.total_seconds(),
                    metadata=(*call_metadata(token, call_id), (TENANT_KEY, str(tenant_id))),
                )
            except grpc.aio.AioRpcError as failure:
                error = error_of_call(failure, call_id=call_id)
                if attempt == 1 and isinstance(error, UnauthenticatedError):
                    # The issuer's keys may have changed since the token was made.
                    token = await self._tokens.token(refused=token)
                    continue
                raise error from failure
        raise AssertionError("unreachable")
