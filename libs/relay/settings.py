"""Who a service is when it calls another one: the environment variables LEO_INTERNAL_*."""

from __future__ import annotations

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class InternalSettings(BaseSettings):
    """The identity of one of our services at the issuer; it carries the scope leo.internal.

    Attributes:
        client_id, client_secret: such as "leo-ingest" and what the issuer knows of it.
        token_url: the issuer's token endpoint.
    """

    model_config = SettingsConfigDict(env_prefix="LEO_INTERNAL_", hide_input_in_errors=True)

    client_id: str
    client_secret: SecretStr
    token_url: str
