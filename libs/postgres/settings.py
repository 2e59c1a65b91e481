"""How a process reaches PostgreSQL: the environment variables LEO_POSTGRES_*."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class PostgresSettings(BaseSettings):
    """One database, reached as one role.

    Attributes:
        dsn: postgresql://role:password@host:port/database.
        pool_count_min: connections that are kept open.
        pool_count_max: connections at most; further transactions wait for one.
        statement_timeout: what a transaction may take where its caller gives no time-out, in ISO
            8601, such as PT5S.
    """

    model_config = SettingsConfigDict(env_prefix="LEO_POSTGRES_", hide_input_in_errors=True)

    dsn: SecretStr
    pool_count_min: int = Field(default=2, ge=0)
    pool_count_max: int = Field(default=8, ge=1)
    statement_timeout: timedelta = Field(default=timedelta(seconds=5), gt=timedelta(0))

    @model_validator(mode="after")
    def _min_is_not_over_max(self) -> Self:
        if self.pool_count_min > self.pool_count_max:
            prefix = self.model_config["env_prefix"]
            raise ValueError(f"{prefix}POOL_COUNT_MIN must not exceed {prefix}POOL_COUNT_MAX")
        return self


class FinderSettings(PostgresSettings):
    """The same database, reached as leo_finder: LEO_POSTGRES_FINDER_*, for processes that work."""

    model_config = SettingsConfigDict(env_prefix="LEO_POSTGRES_FINDER_", hide_input_in_errors=True)

    pool_count_min: int = Field(default=1, ge=0)
    pool_count_max: int = Field(default=4, ge=1)
