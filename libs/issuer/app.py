"""The three addresses of Keycloak that a service and its clients use."""

from __future__ import annotations

import hmac
import time
from typing import TYPE_CHECKING, Annotated, Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from fastapi import FastAPI, Form, Request
from fastapi.responses import JSONResponse
from joserfc import jwt

from libs.issuer.keys import SIGNING_ALGORITHM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libs.issuer.keys import IssuerKeys
    from libs.issuer.settings import Client, IssuerSettings

REALM = "/realms/leo"
PROTOCOL = f"{REALM}/protocol/openid-connect"


class OAuthError(Exception):
    """A refusal as RFC 6749 section 5.2 words it."""

    def __init__(self, status_code: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status_code = status_code
        self.error = error
        self.description = description


def build_application(
    settings: IssuerSettings, keys: IssuerKeys, clients: Mapping[str, Client]
) -> FastAPI:
    """Make the issuer for one set of keys and clients."""
    application = FastAPI(openapi_url=None)

    @application.exception_handler(OAuthError)
    async def refuse(_request: Request, error: OAuthError) -> JSONResponse:
        return JSONResponse(
            {"error": error.error, "error_description": error.description}, error.status_code
        )

    @application.get(f"{REALM}/.well-known/openid-configuration")
    async def configuration() -> dict[str, Any]:
        protocol = f"{settings.issuer}/protocol/openid-connect"
        return {
            "issuer": settings.issuer,
            "token_endpoint": f"{protocol}/token",
            "jwks_uri": f"{protocol}/certs",
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "id_token_signing_alg_values_supported": [SIGNING_ALGORITHM],
        }

    @application.get(f"{PROTOCOL}/certs")
    async def certs() -> dict[str, Any]:
        return keys.public_document()

    @application.post(f"{PROTOCOL}/token")
    async def token(
        grant_type: Annotated[str, Form()] = "",
        client_id: Annotated[str, Form()] = "",
        client_secret: Annotated[str, Form()] = "",
        scope: Annotated[str, Form()] = "",
        tenant_id: Annotated[str, Form()] = "",
    ) -> JSONResponse:
        client = _authenticate(clients, client_id, client_secret)
        if grant_type != "client_credentials":
            raise OAuthError(400, "unsupported_grant_type", "Unsupported grant_type")
        scopes = _grant_scopes(client, scope)
        claims = _claims(settings, client, scopes, _pick_tenant(client, tenant_id))
        header = {"alg": SIGNING_ALGORITHM, "typ": "JWT", "kid": keys.signing.kid}
        return JSONResponse(
            {
                "access_token": jwt.encode(header, claims, keys.signing),
                "expires_in": int(settings.token_lifetime.total_seconds()),
                "refresh_expires_in": 0,
                "token_type": "Bearer",
                "not-before-policy": 0,
                "scope": scopes,
            },
            headers={"Cache-Control": "no-store"},
        )

    return application


def _authenticate(clients: Mapping[str, Client], client_id: str, client_secret: str) -> Client:
    client = clients.get(client_id)
    expected = client.client_secret.get_secret_value() if client else ""
    # Compared for an unknown client too, so that the time tells nothing.
    same = hmac.compare_digest(expected.encode(), client_secret.encode())
    if client is None or not same or not expected:
        raise OAuthError(401, "invalid_client", "Invalid client or Invalid client credentials")
    return client


def _grant_scopes(client: Client, asked: str) -> str:
    """All scopes of the client, or those that are asked for."""
    if not asked:
        return " ".join(client.scopes)
    refused = [scope for scope in asked.split() if scope not in client.scopes]
    if refused:
        raise OAuthError(400, "invalid_scope", f"Invalid scopes: {' '.join(refused)}")
    return asked


def _pick_tenant(client: Client, asked: str) -> UUID | None:
    if not asked:
        return client.tenant_id
    if not client.any_tenant:
        raise OAuthError(400, "invalid_request", "This client may not pick a tenant")
    try:
        return UUID(asked)
    except ValueError:
        raise OAuthError(400, "invalid_request", "tenant_id must be a UUID") from None


def _claims(
    settings: IssuerSettings, client: Client, scopes: str, tenant_id: UUID | None
) -> dict[str, Any]:
    """Make the claims that Keycloak 26 puts into a service account's access token."""
    issued_at = int(time.time())
    claims: dict[str, Any] = {
        "exp": issued_at + int(settings.token_lifetime.total_seconds()),
        "iat": issued_at,
        "jti": f"trrtcc:{uuid4()}",
        "iss": settings.issuer,
        "aud": settings.audience,
        "sub": str(uuid5(NAMESPACE_URL, f"{settings.issuer}/{client.client_id}")),
        "typ": "Bearer",
        "azp": client.client_id,
        "acr": "1",
        "scope": scopes,
        "client_id": client.client_id,
        "preferred_username": f"service-account-{client.client_id}",
    }
    if tenant_id is not None:
        claims["tenant_id"] = str(tenant_id)
    return claims
