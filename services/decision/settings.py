"""What decision reads from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class DecisionSettings(BaseSettings):
    """Settings of this service alone, from LEO_DECISION_… in the environment."""

    model_config = SettingsConfigDict(env_prefix="LEO_DECISION_")

    address: str = "127.0.0.1:7053"
    # Whom new decisions are told at once; nobody if empty, and the sweeper hands them over.
    dispatch_address: str = ""


class AuditSettings(BaseSettings):
    """The audit chain, from LEO_AUDIT_… in the environment; for `work` alone.

    Attributes:
        seal: whether this process seals audit entries.
        checkpoint_file: where the heads of the chains are written; best on a disk that the database
            and its superusers cannot reach. None writes none.
        checkpoint_key_file: the key that signs them: Ed25519, PEM, not encrypted.
    """

    model_config = SettingsConfigDict(env_prefix="LEO_AUDIT_")

    seal: bool = True
    checkpoint_file: Path | None = None
    checkpoint_key_file: Path | None = None

    @model_validator(mode="after")
    def _file_has_a_key(self) -> Self:
        if (self.checkpoint_file is None) != (self.checkpoint_key_file is None):
            raise ValueError(
                "LEO_AUDIT_CHECKPOINT_FILE and LEO_AUDIT_CHECKPOINT_KEY_FILE go together"
            )
        return self
