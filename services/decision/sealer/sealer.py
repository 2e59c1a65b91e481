"""Sealing: every committed audit entry gets its place in its tenant's chain, within a second.

An entry is sealed when it appears. The order of the chain is the order of sealing: neither ids nor
times tell when a transaction commits, and one that commits late must not move what is sealed. So a
look takes whatever is visible and unsealed, in front of a watermark that never passes the oldest
running transaction (as libs/relay does, which says why).

One transaction reads the head, inserts seals and moves the watermark, under an advisory lock that
nobody but sealers asks for; the keys of audit_seal would refuse a second seal of an entry or a
number all the same. Wherever it is killed, the chain is whole and the next look goes on.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import orjson
import structlog

from libs.audit.chain import NOTHING_BEFORE, canonical_entry, entry_digest, seal_hash
from libs.postgres.queries import load_queries
from libs.relay.outage import Outage, problem_of
from libs.rpc.errors import LeoError, UnavailableError

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg

    from libs.postgres.database import Database

_QUERIES = load_queries(__file__)

# Half of the second within which an entry is sealed.
INTERVAL_SECONDS: Final = 0.5
SEAL_COUNT_MAX: Final = 1000
LOOK_TIMEOUT: Final = timedelta(seconds=30)

log = structlog.get_logger(__name__)


class Sealer:
    """Seals the entries of all tenants. Several may run at once."""

    def __init__(self, database: Database, finder: Database) -> None:
        """Make the sealer of a process.

        Args:
            database: as decision.
            finder: the same database as leo_finder.
        """
        self._database = database
        self._finder = finder
        self._outage = Outage("sealing")
        # Of tenants whose last turn failed.
        self._troubles: dict[UUID, Outage] = {}

    async def run(self) -> None:
        """Seal until cancelled."""
        while True:
            try:
                busy = await self.look()
            except UnavailableError as error:
                self._outage.begin(problem_of(error))
                busy = False
            else:
                self._outage.end()
            if not busy:
                await asyncio.sleep(INTERVAL_SECONDS)

    async def look(self) -> bool:
        """Seal what is there; whether a tenant has more than fits into one turn.

        Raises:
            UnavailableError: the database is away.
        """
        try:
            async with self._finder.across_tenants(timeout=LOOK_TIMEOUT) as connection:
                tenant_ids = [
                    row["tenant_id"] async for row in _QUERIES.find_tenants_to_seal(connection)
                ]
        except UnavailableError:
            raise
        except LeoError as error:
            log.warning("looking for entries failed", problem=problem_of(error))
            return False
        more = False
        for tenant_id in tenant_ids:
            try:
                more |= await self.seal(tenant_id) == SEAL_COUNT_MAX
            except UnavailableError:
                raise
            except Exception as error:  # noqa: BLE001 - one tenant's trouble is not the others'
                trouble = Outage("sealing", tenant_id=str(tenant_id))
                self._troubles.setdefault(tenant_id, trouble).begin(problem_of(error))
            else:
                if tenant_id in self._troubles:
                    self._troubles.pop(tenant_id).end()
        return more

    async def seal(self, tenant_id: UUID) -> int:
        """Seal up to SEAL_COUNT_MAX entries of a tenant; how many. None while another one seals.

        Raises:
            LeoError: the database is away, or took too long; nothing is sealed, or all of it.
        """
        # The chain of a tenant that is removed goes on to its last entry, and stays.
        async with self._database.tenant(
            tenant_id, timeout=LOOK_TIMEOUT, must_exist=False
        ) as connection:
            if not await _QUERIES.try_lock(connection, tenant_id=tenant_id):
                return 0
            end = await _QUERIES.read_position(connection, tenant_id=tenant_id)
            entries = [
                row
                async for row in _QUERIES.select_unsealed(
                    connection,
                    tenant_id=tenant_id,
                    position=end["position"],
                    count_max=SEAL_COUNT_MAX,
                )
            ]
            if entries:
                await _QUERIES.insert_seals(
                    connection, tenant_id=tenant_id, **_columns(entries, end["seq"], end["hash"])
                )
            position = end["horizon"]
            if len(entries) == SEAL_COUNT_MAX:
                position = min(position, entries[-1]["transaction_id"])
            if position > end["position"]:
                await _QUERIES.advance_watermark(connection, tenant_id=tenant_id, position=position)
        return len(entries)


def _columns(
    entries: list[asyncpg.Record], last_seq: int | None, last_hash: bytes | None
) -> dict[str, list[object]]:
    """The seals of entries behind the last seal, column by column."""
    digests = [
        entry_digest(
            entry["root"],
            canonical_entry(dict(entry) | {"details": orjson.loads(entry["details"])}),
        )
        for entry in entries
    ]
    hashes = [last_hash or NOTHING_BEFORE]
    for digest in digests:
        hashes.append(seal_hash(hashes[-1], digest))
    first_seq = (last_seq or 0) + 1
    return {
        "seqs": list(range(first_seq, first_seq + len(entries))),
        "entry_ids": [entry["entry_id"] for entry in entries],
        "entry_digests": list(digests),
        "prevs": list(hashes[:-1]),
        "hashes": list(hashes[1:]),
    }
