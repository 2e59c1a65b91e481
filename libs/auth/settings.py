"""Whose tokens are believed."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

# Asymmetric ones only: with HS256 the public key would be the secret.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384")


class AuthSettings(BaseSettings):
    """Settings of the token check, from LEO_AUTH_… in the environment."""

    model_config = SettingsConfigDict(env_prefix="LEO_AUTH_")

    # The exact `iss` of every token, such as https://id.example.com/realms/leo.
    issuer: str = "http://127.0.0.1:7070/realms/leo"
    jwks_url: str = "http://127.0.0.1:7070/realms/leo/protocol/openid-connect/certs"
    # What `aud` must contain.
    audience: str = "leo-activation"
    # The clients whose tokens are taken (`azp`), as a JSON list; any client of the issuer if unset.
    authorized_parties: frozenset[str] | None = None
    # An access token that lives longer is refused: log-out does not end it.
    lifetime_max: timedelta = timedelta(hours=1)
    # How far the issuer's clock may be from ours.
    clock_skew: timedelta = timedelta(seconds=10)
    token_bytes_max: int = Field(default=8192, ge=512)
    # Verified tokens that are remembered until they expire.
    verified_token_count_max: int = Field(default=10_000, ge=1)
    # How long keys are used before they are fetched again, so that a withdrawn one stops counting.
    keys_age_max: timedelta = timedelta(minutes=10)
    # An unknown key id makes us fetch the keys at most once in this time.
    keys_fetch_interval_min: timedelta = timedelta(seconds=30)
    keys_fetch_timeout: timedelta = timedelta(seconds=5)
