"""Every minute, the heads of the chains go into a file that is no part of the database."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from libs.audit.checkpoint import Head, append_checkpoints, public_key_text
from libs.postgres.queries import load_queries
from libs.relay.outage import Outage, problem_of
from libs.rpc.errors import LeoError

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from libs.postgres.database import Database

_QUERIES = load_queries(__file__)

INTERVAL_SECONDS: Final = 60.0
LOOK_TIMEOUT: Final = timedelta(seconds=30)

log = structlog.get_logger(__name__)


class Checkpoints:
    """Writes down the heads that moved. Several processes may do so, into one file or their own."""

    def __init__(
        self, database: Database, finder: Database, path: Path, key: Ed25519PrivateKey
    ) -> None:
        """Make the writer of a process.

        Args:
            database: as decision.
            finder: the same database as leo_finder.
            path: of the file; its folder exists.
            key: signs each line.
        """
        self._database = database
        self._finder = finder
        self._path = path
        self._key = key
        # Up to where this process has written; a new one writes every head once.
        self._written: dict[UUID, int] = {}
        self._outage = Outage("writing checkpoints", file=str(path))

    async def run(self) -> None:
        """Write at once, and every minute, until cancelled."""
        log.info(
            "writing checkpoints",
            file=str(self._path),
            public_key=public_key_text(self._key.public_key()),
        )
        while True:
            try:
                await self.write()
            except (LeoError, OSError) as error:
                self._outage.begin(problem_of(error))
            else:
                self._outage.end()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def write(self) -> int:
        """Write the heads that moved since this process wrote last; how many.

        Raises:
            LeoError: the database is away.
            OSError: the file cannot be written; all of them are tried again.
        """
        async with self._finder.across_tenants(timeout=LOOK_TIMEOUT) as connection:
            moved = [
                (row["tenant_id"], row["seq"])
                async for row in _QUERIES.find_heads(connection)
                if self._written.get(row["tenant_id"]) != row["seq"]
            ]
        heads = []
        for tenant_id, seq in moved:
            async with self._database.tenant(
                tenant_id, timeout=LOOK_TIMEOUT, must_exist=False
            ) as connection:
                found = await _QUERIES.select_hash(connection, tenant_id=tenant_id, seq=seq)
            heads.append(Head(tenant_id, seq, found))
        if heads:
            await asyncio.to_thread(append_checkpoints, self._path, heads, self._key)
        self._written.update(moved)
        return len(heads)
