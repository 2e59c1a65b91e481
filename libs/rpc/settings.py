"""Limits and choices that hold for every gRPC server."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

# Method prefixes that every server answers without a token: how it is, and what it serves.
OPEN_SERVICES: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")

MIB = 1024 * 1024
KIB = 1024


class ServerSettings(BaseSettings):
    """Settings of a gRPC server, from LEO_RPC_… in the environment."""

    model_config = SettingsConfigDict(env_prefix="LEO_RPC_")

    concurrent_call_count_max: int = Field(default=2000, ge=1)
    message_bytes_max: int = Field(default=8 * MIB, ge=KIB)
    # Whether the server tells its protos to whoever asks; on in development.
    reflection: bool = False
    # A proxy in front ends TLS, so plaintext may listen beyond loopback.
    behind_tls_proxy: bool = False
    # For calls that bring no deadline.
    unary_deadline_default: timedelta = timedelta(seconds=15)
    stream_deadline_default: timedelta = timedelta(hours=1)
    keepalive: timedelta = timedelta(minutes=1)
    keepalive_timeout: timedelta = timedelta(seconds=20)
    # Connections are renewed, so that a balancer in front can spread them anew.
    connection_age_max: timedelta = timedelta(minutes=30)
    connection_age_grace: timedelta = timedelta(hours=1)
    # How long calls in progress may take to end when the server stops.
    shutdown_grace: timedelta = timedelta(seconds=10)
