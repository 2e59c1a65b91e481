"""What segment reads from the environment."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


class SegmentSettings(BaseSettings):
    """Settings of this service alone, from LEO_SEGMENT_… in the environment.

    The database (LEO_POSTGRES_…), tokens (LEO_AUTH_…) and limits (LEO_RPC_…) have their own.
    """

    model_config = SettingsConfigDict(env_prefix="LEO_SEGMENT_")

    address: str = "127.0.0.1:7052"
