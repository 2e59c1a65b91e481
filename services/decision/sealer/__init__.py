"""The sealer: links the audit entries of each tenant into a chain, and notes where it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.audit.checkpoint import load_signing_key
from services.decision.sealer.checkpoints import Checkpoints
from services.decision.sealer.sealer import Sealer

if TYPE_CHECKING:
    from libs.postgres.database import Database
    from libs.relay.work import Worker
    from services.decision.settings import AuditSettings

__all__ = ["Checkpoints", "Sealer", "sealers_of"]


def sealers_of(database: Database, finder: Database, settings: AuditSettings) -> list[Worker]:
    """What a working process does for the audit, as its settings say.

    Raises:
        StartError: the key of the checkpoints cannot be read.
    """
    workers: list[Worker] = []
    if settings.seal:
        workers.append(Sealer(database, finder))
    if settings.checkpoint_file is not None and settings.checkpoint_key_file is not None:
        key = load_signing_key(settings.checkpoint_key_file)
        workers.append(Checkpoints(database, finder, settings.checkpoint_file, key))
    return workers
