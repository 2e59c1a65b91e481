"""What decision reads from the environment."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


class DecisionSettings(BaseSettings):
    """Settings of this service alone, from LEO_DECISION_… in the environment."""

    model_config = SettingsConfigDict(env_prefix="LEO_DECISION_")

    address: str = "127.0.0.1:7053"
    # Whom new decisions are told at once; nobody if empty, and the sweeper hands them over.
    dispatch_address: str = ""
