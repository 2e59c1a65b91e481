"""Whether a token is a valid access token of our issuer, for us, now."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import orjson
from joserfc import jws
from joserfc.errors import JoseError

from libs.auth.caller import INTERNAL_SCOPE, Caller
from libs.auth.errors import TokenInvalidError
from libs.auth.keys import SigningKeys
from libs.auth.settings import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from libs.auth.keys import SigningKey
    from libs.auth.settings import AuthSettings

ACCESS_TOKEN_TYPES = ("at+jwt", "application/at+jwt")
REGISTRY = jws.JWSRegistry(algorithms=list(ALGORITHMS))

# What metadata "problem" may say, and the text for people.
PROBLEMS = {
    "malformed": "it is not a signed JSON Web Token",
    "too_long": "it is longer than this server takes",
    "algorithm": "it must be signed by an RSA or EC key",
    "key_unknown": "the issuer has no such signing key",
    "signature": "its signature does not fit",
    "issuer": "it comes from another issuer",
    "audience": "it is not meant for this system; ask the issuer for the audience",
    "type": "it is no access token",
    "authorized_party": "its client may not call this system",
    "subject": "it names no subject",
    "expiry": "it must say when it was issued and when it expires",
    "expired": "it has expired; get a new one",
    "not_yet_valid": "it is not valid yet",
    "lifetime": "it lives longer than this system allows",
    "tenant": 'its claim "tenant_id" is not a UUID',
}


@dataclass(frozen=True, slots=True)
class _Verified:
    caller: Caller
    key_id: str
    key: SigningKey


class TokenVerifier:
    """Verify access tokens and remember the verified ones until they expire.

    Use it as an async context manager: it holds a connection to the issuer.

    A token is remembered by its hash, so that no memory dump holds one, and only while the key that
    signed it is the issuer's. (A plain dict, because the standard library's caches know no expiry.)
    """

    def __init__(
        self,
        settings: AuthSettings,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._keys = SigningKeys(settings, monotonic=monotonic)
        self._clock = clock
        self._lifetime_seconds_max = settings.lifetime_max.total_seconds()
        self._skew_seconds = settings.clock_skew.total_seconds()
        self._verified: dict[bytes, _Verified] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._keys.close()

    async def ready(self) -> None:
        """Return if tokens can be checked.

        Raises:
            KeysUnavailableError: no key of the issuer was ever fetched.
        """
        await self._keys.ready()

    def check_expiry(self, caller: Caller) -> None:
        """Return if the token of a caller who was let in still counts.

        Raises:
            TokenInvalidError: "expired".
        """
        if self._clock() >= caller.expires_at:
            raise _refused("expired")

    async def verify(self, token: str) -> Caller:
        """Return whom the issuer vouches for.

        Raises:
            TokenInvalidError: the token is refused; metadata "problem" says why.
            KeysUnavailableError: no key of the issuer was ever fetched.
        """
        if len(token) > self._settings.token_bytes_max:
            raise _refused("too_long")
        digest = hashlib.sha256(token.encode()).digest()
        verified = self._verified.get(digest)
        if verified is not None:
            if (
                self._clock() < verified.caller.expires_at
                and self._keys.known(verified.key_id) is verified.key
            ):
                return verified.caller
            del self._verified[digest]
        verified = await self._verify(token)
        if len(self._verified) >= self._settings.verified_token_count_max:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = verified
        return verified.caller

    async def _verify(self, token: str) -> _Verified:
        try:
            signature = jws.extract_compact(token.encode(), registry=REGISTRY)
            header = signature.headers()
        except (JoseError, ValueError, TypeError):
            raise _refused("malformed") from None
        key_id = header.get("kid")
        if header.get("alg") not in ALGORITHMS:
            raise _refused("algorithm")
        if not isinstance(key_id, str):
            raise _refused("key_unknown")
        key = await self._keys.find(key_id)
        if key is None:
            raise _refused("key_unknown")
        try:
            fits = jws.validate_compact(signature, key, algorithms=ALGORITHMS, registry=REGISTRY)
        except (JoseError, ValueError, TypeError):
            fits = False
        if not fits:
            raise _refused("signature")
        try:
            claims = orjson.loads(signature.payload or b"")
        except orjson.JSONDecodeError:
            raise _refused("malformed") from None
        if not isinstance(claims, dict):
            raise _refused("malformed")
        expires_at = self._check_times(claims)
        return _Verified(self._check_claims(header, claims, expires_at), key_id, key)

    def _check_times(self, claims: dict[str, Any]) -> float:
        now = self._clock()
        expires_at, issued_at = _number(claims.get("exp")), _number(claims.get("iat"))
        if expires_at is None or issued_at is None:
            raise _refused("expiry")
        not_before = _number(claims["nbf"]) if "nbf" in claims else issued_at
        if not_before is None:
            raise _refused("not_yet_valid")
        if expires_at - issued_at > self._lifetime_seconds_max:
            raise _refused("lifetime")
        if now >= expires_at + self._skew_seconds:
            raise _refused("expired")
        if max(not_before, issued_at) > now + self._skew_seconds:
            raise _refused("not_yet_valid")
        return expires_at + self._skew_seconds

    def _check_claims(
        self, header: dict[str, Any], claims: dict[str, Any], expires_at: float
    ) -> Caller:
        if claims.get("iss") != self._settings.issuer:
            raise _refused("issuer")
        audience = claims.get("aud")
        if self._settings.audience not in (audience if isinstance(audience, list) else [audience]):
            raise _refused("audience")
        if not _is_access_token(header, claims):
            raise _refused("type")
        # Keycloak names the client in "azp", RFC 9068 in "client_id".
        client_id = claims.get("azp", claims.get("client_id"))
        parties = self._settings.authorized_parties
        if not isinstance(client_id, str) or (parties is not None and client_id not in parties):
            raise _refused("authorized_party")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject:
            raise _refused("subject")
        scope = claims.get("scope", "")
        if not isinstance(scope, str):
            raise _refused("malformed")
        scopes = frozenset(scope.split())
        return Caller(
            subject=subject,
            client_id=client_id,
            tenant_id=_tenant_id(claims),
            scopes=scopes,
            internal=INTERNAL_SCOPE in scopes,
            expires_at=expires_at,
        )


def _is_access_token(header: dict[str, Any], claims: dict[str, Any]) -> bool:
    """Tell an access token from Keycloak's ID, refresh and log-out tokens, which have its key."""
    if "typ" in claims:
        return bool(claims["typ"] == "Bearer")
    return str(header.get("typ", "")).lower() in ACCESS_TOKEN_TYPES


def _tenant_id(claims: dict[str, Any]) -> UUID | None:
    if "tenant_id" not in claims:
        return None
    try:
        return UUID(claims["tenant_id"])
    except (ValueError, AttributeError, TypeError):
        raise _refused("tenant") from None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _refused(problem: str) -> TokenInvalidError:
    return TokenInvalidError(problem, PROBLEMS[problem])
