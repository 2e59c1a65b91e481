"""What segment reads from the environment."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SegmentSettings(BaseSettings):
    """Settings of this service alone, from LEO_SEGMENT_… in the environment.

    The database (LEO_POSTGRES_…), tokens (LEO_AUTH_…) and limits (LEO_RPC_…) have their own.
    """

    model_config = SettingsConfigDict(env_prefix="LEO_SEGMENT_")

    address: str = "127.0.0.1:7052"
    # A snapshot has at most so many members; a larger segment is refused.
    snapshot_member_count_max: int = Field(default=1_000_000, ge=1)
