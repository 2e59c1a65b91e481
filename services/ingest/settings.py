"""What ingest reads from the environment."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# The database refuses to remove anything younger for its age.
AGE_MIN = timedelta(days=30)


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


class RetentionSettings(BaseSettings):
    """How long rows are kept, from LEO_RETENTION_…; docs/guides/retention.md says why.

    Attributes:
        daily: whether `work` removes what is older, once a day.
        stories: an event with its decisions, deliveries, attempts and receipts; a launch.
        snapshots: who was in a segment; longer where a launch went out to it.
        profile_versions: what a profile was, from the day on which it was superseded.
        consent_versions: what a person had allowed, from the day on which it was superseded.
    """

    model_config = SettingsConfigDict(env_prefix="LEO_RETENTION_")

    daily: bool = True
    stories: timedelta = Field(default=timedelta(days=400), ge=AGE_MIN)
    snapshots: timedelta = Field(default=timedelta(days=400), ge=AGE_MIN)
    profile_versions: timedelta = Field(default=timedelta(days=400), ge=AGE_MIN)
    consent_versions: timedelta = Field(default=timedelta(days=1826), ge=AGE_MIN)

    @model_validator(mode="after")
    def _versions_outlive_stories(self) -> Self:
        if self.profile_versions < self.stories:
            prefix = self.model_config["env_prefix"]
            raise ValueError(
                f"{prefix}PROFILE_VERSIONS must be at least {prefix}STORIES: "
                "decisions name the versions that they saw"
            )
        return self


class RemovalSettings(BaseSettings):
    """How rows are removed, for their age or with their tenant, from LEO_REMOVAL_….

    Attributes:
        batch_count: events, people or rows of one transaction.
        batch_pause: between two of them, so that others get their turn.
    """

    model_config = SettingsConfigDict(env_prefix="LEO_REMOVAL_")

    batch_count: int = Field(default=100, ge=1, le=10_000)
    batch_pause: timedelta = Field(default=timedelta(milliseconds=100), ge=timedelta(0))
