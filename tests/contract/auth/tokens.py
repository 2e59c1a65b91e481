"""An issuer whose every token, key and failure a test decides, behind a real HTTP server."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from joserfc import jwt

from libs.auth.settings import AuthSettings
from libs.issuer.keys import IssuerKeys, make_keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from joserfc.jwk import RSAKey

ISSUER = "http://issuer.test/realms/leo"
TENANT = UUID("01900000-0000-7000-8000-00000000000a")
OTHER_TENANT = UUID("01900000-0000-7000-8000-00000000000b")


class ScriptedIssuer:
    """Signs whatever it is told to, and counts who asks for its keys."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys = _first_keys()
        self.document: Any = None
        self.extra_keys: list[dict[str, Any]] = []
        self.failing = False
        self.fetch_count = 0

    def settings(self, **changes: Any) -> AuthSettings:
        return AuthSettings(
            **{"issuer": ISSUER, "jwks_url": self.url, "authorized_parties": {"crm"}} | changes
        )

    def sign(self, key: RSAKey | None = None, header: Any = None, **changes: Any) -> str:
        """Sign good claims with `changes`; a change to None removes the claim."""
        key = key or self.keys.signing
        claims = good_claims() | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(
            {"alg": "RS256", "typ": "JWT", "kid": key.kid} | (header or {}),
            claims,
            key,
            algorithms=["RS256", "PS256", "RS512", "HS256", "none", "ES256"],
        )

    def rotate(self) -> IssuerKeys:
        """Take new keys and forget the old ones, which are returned."""
        old, self.keys = self.keys, make_keys()
        return old

    def answer(self) -> JSONResponse:
        """Answer to whoever asks for the keys."""
        self.fetch_count += 1
        if self.failing:
            return JSONResponse({}, 500)
        keys = self.keys.public_document()["keys"] + self.extra_keys
        return JSONResponse({"keys": keys} if self.document is None else self.document)


@cache
def _first_keys() -> IssuerKeys:
    # Making them takes as long as all the rest of a test.
    return make_keys()


class IssuerServer:
    """One HTTP server for all tests, each of which takes a new issuer at it."""

    def __init__(self) -> None:
        self.application = FastAPI(openapi_url=None)
        self.issuer: ScriptedIssuer | None = None

        @self.application.get("/certs")
        async def certs() -> JSONResponse:
            assert self.issuer is not None
            return self.issuer.answer()

    def new_issuer(self, url: str) -> ScriptedIssuer:
        self.issuer = ScriptedIssuer(f"{url}/certs")
        return self.issuer


def good_claims() -> dict[str, Any]:
    """Make the claims of a token that is accepted, as Keycloak makes them."""
    now = int(time.time())
    return {
        "exp": now + 300,
        "iat": now,
        "jti": "trrtcc:1",
        "iss": ISSUER,
        "aud": ["leo-activation", "account"],
        "sub": "0b0b0b0b-canary",
        "typ": "Bearer",
        "azp": "crm",
        "scope": "leo.events.write",
        "tenant_id": str(TENANT),
    }


@asynccontextmanager
async def http_server(application: Any) -> AsyncIterator[str]:
    """Serve an ASGI application on a free port; gives "http://host:port"."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(
            uvicorn.Config(application, log_config=None, lifespan="on", access_log=False)
        )
        # In a task of its own as `serve` wants it, without its signal handlers.
        serving = asyncio.create_task(server._serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


class ManualClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now
