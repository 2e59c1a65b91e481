"""How the delivery machine works: spans, counts and back-offs."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class MachineSettings(BaseSettings):
    """Settings of the workers, from LEO_MACHINE_… in the environment.

    Attributes:
        lease: how long a worker may hold a row; half of it is the longest call to a provider.
        poll_interval: how often the database is asked without a doorbell.
        claim_count_max: rows of one claim.
        attempt_count_max: calls to the provider for one delivery, after which a transient failure
            is final; throttling, quotas, nights and tokens pass, or the delivery expires.
        failure_count_max: failures before the intent, after which a person must look.
        backoff_min, backoff_max: between attempts, doubling, where the provider names no time.
        private_addresses: whether accounts may name a provider on this machine or in a private
            network, as the simulator is.
    """

    model_config = SettingsConfigDict(env_prefix="LEO_MACHINE_")

    lease: timedelta = Field(default=timedelta(seconds=15), gt=timedelta(0))
    poll_interval: timedelta = Field(default=timedelta(seconds=1), gt=timedelta(0))
    claim_count_max: int = Field(default=100, ge=1, le=500)
    attempt_count_max: int = Field(default=8, ge=1)
    failure_count_max: int = Field(default=5, ge=1)
    backoff_min: timedelta = timedelta(seconds=5)
    backoff_max: timedelta = timedelta(minutes=30)
    private_addresses: bool = False


class RedisSettings(BaseSettings):
    """Where the doorbell hangs, from LEO_REDIS_URL; without one only the poll finds work."""

    model_config = SettingsConfigDict(env_prefix="LEO_REDIS_", hide_input_in_errors=True)

    url: str = ""
