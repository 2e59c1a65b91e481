"""Where the edge listens and whom it calls."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

KIB = 1024


class EdgeSettings(BaseSettings):
    """Settings of the edge, from LEO_EDGE_… in the environment."""

    model_config = SettingsConfigDict(env_prefix="LEO_EDGE_")

    address: str = "127.0.0.1:7080"
    ingest_address: str = "127.0.0.1:7051"
    dispatch_address: str = "127.0.0.1:7054"
    # A proxy in front ends TLS, so plaintext may listen beyond loopback.
    behind_tls_proxy: bool = False
    body_bytes_max: int = Field(default=256 * KIB, ge=KIB)
    call_timeout: timedelta = timedelta(seconds=10)
    # Zalo wants its answer within 2 s, and tries again without one.
    webhook_timeout: timedelta = timedelta(seconds=1.5)
