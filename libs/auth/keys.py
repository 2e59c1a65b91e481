"""The issuer's public keys, fetched from its JWKS and kept."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING, Any

import httpx
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from libs.auth.errors import KeysUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from libs.auth.settings import AuthSettings

RSA_BITS_MIN = 2048
# Between tries while we have no key at all.
FIRST_FETCH_INTERVAL_SECONDS = 1.0

log = structlog.get_logger(__name__)

SigningKey = RSAKey | ECKey


class SigningKeys:
    """RSA and EC signing keys of one issuer, by key id.

    A failed fetch keeps the keys that we have. Keys are fetched again when they are old, and at
    once, but at most every `keys_fetch_interval_min`, for a key id that we do not know: strangers
    can invent those.
    """

    def __init__(
        self, settings: AuthSettings, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = settings.jwks_url
        self._age_seconds_max = settings.keys_age_max.total_seconds()
        self._interval_seconds = settings.keys_fetch_interval_min.total_seconds()
        # The system's certificates; no proxy from the environment, since who answers here
        # decides who is let in.
        self._client = httpx.AsyncClient(
            timeout=settings.keys_fetch_timeout.total_seconds(),
            verify=ssl.create_default_context(),
            trust_env=False,
        )
        self._monotonic = monotonic
        self._keys: dict[str, SigningKey] = {}
        self._fetched_at = -self._age_seconds_max
        self._tried_at: float | None = None
        self._fetching = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Let go of the connections."""
        if self._renewal is not None:
            self._renewal.cancel()
        await self._client.aclose()

    def known(self, key_id: str) -> SigningKey | None:
        """Return a key that we hold, without waiting; old keys are renewed behind the scenes."""
        if (
            self._monotonic() - self._fetched_at > self._age_seconds_max
            and self._may_try()
            and (self._renewal is None or self._renewal.done())
        ):
            self._renewal = asyncio.create_task(self._fetch())
        return self._keys.get(key_id)

    async def find(self, key_id: str) -> SigningKey | None:
        """Return the key, or None if the issuer does not have it, fetching the keys if need be.

        Raises:
            KeysUnavailableError: no key was ever fetched.
        """
        key = self._keys.get(key_id)
        if key is None:
            await self._fetch()
            key = self._keys.get(key_id)
        if not self._keys:
            raise KeysUnavailableError
        return key

    async def ready(self) -> None:
        """Return if tokens can be checked.

        Raises:
            KeysUnavailableError: no key was ever fetched.
        """
        if not self._keys:
            await self._fetch()
        if not self._keys:
            raise KeysUnavailableError

    def _may_try(self) -> bool:
        interval = self._interval_seconds if self._keys else FIRST_FETCH_INTERVAL_SECONDS
        return self._tried_at is None or self._monotonic() - self._tried_at >= interval

    async def _fetch(self) -> None:
        # Whoever waited here for another's fetch finds that it may not try, and looks again.
        async with self._fetching:
            if not self._may_try():
                return
            self._tried_at = self._monotonic()
            try:
                response = await self._client.get(self._url)
                response.raise_for_status()
                keys = _signing_keys(response.json())
            except (httpx.HTTPError, ValueError) as error:
                log.warning("keys not fetched", url=self._url, problem=type(error).__name__)
                return
            if not keys:
                log.warning("keys not fetched", url=self._url, problem="no signing key in it")
                return
            self._keys = keys
            self._fetched_at = self._monotonic()


def _signing_keys(document: Any) -> dict[str, SigningKey]:
    """Pick the keys that may sign tokens out of a JWKS; others (encryption, symmetric) are left.

    Raises:
        ValueError: it is no JWKS.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a JWKS")  # noqa: TRY004 - the document's fault, not our caller's
    keys: dict[str, SigningKey] = {}
    for entry in entries:
        key = _signing_key(entry)
        if key is not None:
            keys[entry["kid"]] = key
    return keys


def _signing_key(entry: Any) -> SigningKey | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str):
        return None
    # A key without "use" may sign (RFC 7517, 4.2), unless its operations say otherwise.
    if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ["verify"]):
        return None
    try:
        match entry.get("kty"):
            case "RSA":
                rsa_key = RSAKey.import_key(entry)
                return rsa_key if rsa_key.raw_value.key_size >= RSA_BITS_MIN else None
            case "EC":
                return ECKey.import_key(entry)
    except (JoseError, ValueError, TypeError):
        log.warning("key left out", problem="it cannot be read")
    return None
