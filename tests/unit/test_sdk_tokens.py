from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import httpx
import pytest

import leo_sdk

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN_URL = "http://127.0.0.1:1/realms/leo/protocol/openid-connect/token"


class Issuer:
    """Answers token requests in httpx's own transport, without a network."""

    def __init__(self, answer: Callable[[int], httpx.Response]) -> None:
        self.forms: list[dict[str, list[str]]] = []
        self._answer = answer

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.forms.append(parse_qs(request.content.decode()))
        await asyncio.sleep(0)  # so that callers who ask at once really overlap
        return self._answer(len(self.forms))

    def credentials(self, **options: str) -> leo_sdk.ClientCredentials:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.handle))
        return leo_sdk.ClientCredentials(TOKEN_URL, "shop", "a-secret", http=http, **options)


def numbered_token(lifetime_seconds: int) -> Callable[[int], httpx.Response]:
    return lambda number: httpx.Response(
        200, json={"access_token": f"token-{number}", "expires_in": lifetime_seconds}
    )


async def test_a_token_is_kept_while_it_lasts() -> None:
    issuer = Issuer(numbered_token(300))
    credentials = issuer.credentials(scope="leo.events.write", tenant_id="t-1")
    assert {await credentials.token() for _ in range(3)} == {"token-1"}
    assert issuer.forms == [
        {
            "grant_type": ["client_credentials"],
            "client_id": ["shop"],
            "client_secret": ["a-secret"],
            "scope": ["leo.events.write"],
            "tenant_id": ["t-1"],
        }
    ]


async def test_a_token_that_has_ended_is_renewed() -> None:
    credentials = Issuer(numbered_token(0)).credentials()
    assert [await credentials.token(), await credentials.token()] == ["token-1", "token-2"]


async def test_a_refused_token_is_renewed_and_a_newer_one_is_not() -> None:
    credentials = Issuer(numbered_token(300)).credentials()
    first = await credentials.token()
    assert await credentials.token(refused=first) == "token-2"
    # A slower call that was refused with the first one gets what is there now.
    assert await credentials.token(refused=first) == "token-2"


async def test_many_calls_at_once_fetch_one_token() -> None:
    issuer = Issuer(numbered_token(300))
    credentials = issuer.credentials()
    tokens = await asyncio.gather(*(credentials.token() for _ in range(50)))
    assert set(tokens) == {"token-1"}
    assert len(issuer.forms) == 1


async def test_a_client_that_the_issuer_refuses_is_unauthenticated() -> None:
    issuer = Issuer(lambda _: httpx.Response(401, json={"error": "invalid_client"}))
    with pytest.raises(leo_sdk.UnauthenticatedError, match="invalid_client") as caught:
        await issuer.credentials().token()
    assert caught.value.reason == "TOKEN_REFUSED"
    assert "a-secret" not in f"{caught.value!r} {caught.value} {caught.value.metadata}"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"access_token": 5}'])
async def test_an_answer_without_a_token_is_refused(body: bytes) -> None:
    issuer = Issuer(lambda _: httpx.Response(200, content=body))
    with pytest.raises(leo_sdk.UnauthenticatedError, match="without a token"):
        await issuer.credentials().token()


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_issuer_in_trouble_is_unavailable(status: int) -> None:
    with pytest.raises(leo_sdk.UnavailableError) as caught:
        await Issuer(lambda _: httpx.Response(status)).credentials().token()
    assert caught.value.reason == "ISSUER_UNAVAILABLE"


async def test_an_issuer_that_nobody_reaches_is_unavailable() -> None:
    async with leo_sdk.ClientCredentials(TOKEN_URL, "shop", "a-secret") as credentials:
        with pytest.raises(leo_sdk.UnavailableError, match="cannot be reached"):
            await credentials.token()


def test_secrets_are_not_shown() -> None:
    credentials = leo_sdk.ClientCredentials(TOKEN_URL, "shop", "a-secret")
    assert "a-secret" not in repr(credentials)
    assert "a-token" not in repr(leo_sdk.StaticToken("a-token"))
