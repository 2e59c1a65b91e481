"""Where a call's bearer token comes from."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol, Self

import grpc
import httpx

from leo_sdk.errors import SDK_DOMAIN, LeoRpcError, UnauthenticatedError, UnavailableError

# A token is renewed this long before it ends: a call that starts now must still arrive in time.
_RENEWAL_SECONDS = 30.0
_TOKEN_REQUEST_TIMEOUT_SECONDS = 10.0
_SERVER_ERROR_STATUS = 500
_TOO_MANY_REQUESTS_STATUS = 429


class TokenSource(Protocol):
    """Anything that has a token for a call."""

    async def token(self, *, refused: str | None = None) -> str:
        """The bearer token for a call that starts now.

        Args:
            refused: a token that the server has just refused. A source that can fetch another one
                does; a source that cannot returns the same, and the refusal stands.

        Raises:
            UnauthenticatedError: the issuer refuses to make one.
            UnavailableError: the issuer cannot be reached; the client tries again.
        """
        ...


class StaticToken:
    """One token that somebody else made, such as `leo token` prints."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __repr__(self) -> str:
        return "StaticToken(…)"

    async def token(self, *, refused: str | None = None) -> str:  # noqa: ARG002, it has one only
        """The token."""
        return self._token


class ClientCredentials:
    """Tokens by OAuth 2.0 client credentials (RFC 6749 §4.4), as Keycloak makes them.

    A token is kept until shortly before it ends; many calls at once fetch one. Close it with
    `aclose` or `async with` when nobody calls any more.

    Args:
        token_url: the issuer's token endpoint.
        scope: scopes separated by blanks, such as "leo.events.write leo.profiles.write"; empty
            for the client's default.
        tenant_id: picks the tenant of a client that may act for any; the development issuer
            understands it, Keycloak fixes the tenant in the client.
        http: an own httpx client, for instance one with a private certificate authority; whoever
            brings it closes it.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        *,
        scope: str = "",
        tenant_id: str | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._token_url = token_url
        self._client_id = client_id
        self._form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
        }
        if scope:
            self._form["scope"] = scope
        if tenant_id is not None:
            self._form["tenant_id"] = tenant_id
        self._own_http = http is None
        self._http = http or httpx.AsyncClient(timeout=_TOKEN_REQUEST_TIMEOUT_SECONDS)
        self._lock = asyncio.Lock()
        self._token = ""
        self._renew_at = 0.0

    def __repr__(self) -> str:
        return f"ClientCredentials({self._token_url!r}, client_id={self._client_id!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections to the issuer."""
        if self._own_http:
            await self._http.aclose()

    async def token(self, *, refused: str | None = None) -> str:
        """A token that is valid now and is not the refused one."""
        if self._fits(refused):
            return self._token
        async with self._lock:
            # Whoever held the lock may have fetched it already.
            if not self._fits(refused):
                await self._fetch()
            return self._token

    def _fits(self, refused: str | None) -> bool:
        return self._token != refused and time.monotonic() < self._renew_at

    async def _fetch(self) -> None:
        asked_at = time.monotonic()
        try:
            response = await self._http.post(self._token_url, data=self._form)
        except httpx.TransportError as failure:
            raise _unavailable(f"the issuer at {self._token_url} cannot be reached") from failure
        status = response.status_code
        if status >= _SERVER_ERROR_STATUS or status == _TOO_MANY_REQUESTS_STATUS:
            raise _unavailable(f"the issuer at {self._token_url} answers with status {status}")
        body = _json_object(response)
        token = body.get("access_token")
        if not response.is_success or not isinstance(token, str) or not token:
            raise _refused(self._client_id, status, body)
        lifetime_seconds = float(body.get("expires_in", 60))
        # A token that lives shorter than a minute is used for half of its life.
        self._token = token
        self._renew_at = asked_at + max(lifetime_seconds - _RENEWAL_SECONDS, lifetime_seconds / 2)


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _unavailable(message: str) -> LeoRpcError:
    return UnavailableError(
        message,
        code=grpc.StatusCode.UNAVAILABLE,
        reason="ISSUER_UNAVAILABLE",
        domain=SDK_DOMAIN,
    )


def _refused(client_id: str, status: int, body: dict[str, Any]) -> LeoRpcError:
    # RFC 6749 §5.2: `error` is a code from a short list, and safe to show.
    problem = str(body.get("error") or f"status {status} without a token")
    return UnauthenticatedError(
        f'the issuer gives client "{client_id}" no token: {problem}',
        code=grpc.StatusCode.UNAUTHENTICATED,
        reason="TOKEN_REFUSED",
        domain=SDK_DOMAIN,
        metadata={"client_id": client_id, "problem": problem},
    )
