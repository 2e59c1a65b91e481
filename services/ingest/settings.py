"""What ingest reads from the environment."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


class IngestSettings(BaseSettings):
    """Settings of this service alone, from LEO_INGEST_… in the environment.

    The database (LEO_POSTGRES_…), tokens (LEO_AUTH_…), limits (LEO_RPC_…) and the identity towards
    decision (LEO_INTERNAL_…) have their own.

    Attributes:
        address: where it listens.
        decision_address: whom new events are handed to; empty for nobody.
    """

    model_config = SettingsConfigDict(env_prefix="LEO_INGEST_")

    address: str = "127.0.0.1:7051"
    decision_address: str = ""
