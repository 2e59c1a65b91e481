"""The forger: somebody who owns the database, and what such a one can do to it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from libs.audit.recorded import RECORDED, fields_of
from libs.audit.tree import leaf, root
from libs.audit.verify.reading import copied, snapshot_of, stream
from libs.postgres import roles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from uuid import UUID

    from libs.audit.verify import Finding, Verification
    from tests.contract.audit.site import Site

TABLES: Final = tuple(RECORDED)
# What entries define.
DEFINITIONS: Final = (
    *("activation_rule_version", "campaign", "message_template"),
    *("segment_snapshot", "segment_snapshot_member", "campaign_launch"),
)
# Everything that a forger would touch.
AUDITED: Final = (*TABLES, "audit_entry", "audit_seal")
# The columns that no hash covers, with nothing in them that was recorded: of which transaction a
# row is, what lets a repeated request find its answer, what only an intent has, and when a seal was
# set.
NOT_RECORDED: Final = {
    "decision": {"transaction_id"},
    "delivery_attempt": {"provider_key", "request_hash", "template_version"},
    "profile_consent_version": {"request_id", "request_digest"},
    "audit_entry": {"transaction_id"},
    "audit_seal": {"created_at"},
}
# By type, another value than a column's own.
_OTHERS: Final = {
    "uuid": "gen_random_uuid()",
    "text": "coalesce({0}, '') || 'é'",
    "integer": "coalesce({0}, 0) + 1",
    "bigint": "coalesce({0}, 0) + 1",
    "xid8": "'1'::xid8",
    "timestamp with time zone": "coalesce({0}, 'epoch') + interval '1 microsecond'",
    "interval": "coalesce({0}, interval '0') + interval '1 microsecond'",
    "jsonb": "jsonb_build_object('was', {0})",
    "bytea": "sha256(coalesce({0}, ''))",
    "bigint[]": "{0} || 1::bigint",
    "integer[]": "{0} || 1",
    "text[]": "{0} || 'x'::text",
}


@dataclass(frozen=True)
class Place:
    """An entry of the first tenant, and where it stands."""

    tenant_id: UUID
    entry_id: UUID
    seq: int

    def is_of(self, finding: Finding) -> bool:
        here = (str(self.tenant_id), str(self.entry_id), self.seq)
        return (finding.tenant_id, finding.entry_id, finding.seq) == here

    def is_first_of(self, found: Verification) -> bool:
        return self.is_of(found.findings[0])


class Tamperer:
    """leo_migrate, who owns everything, without triggers and constraints in its way."""

    def __init__(self, connection: Any, tenant_id: UUID) -> None:
        self._connection = connection
        self.tenant_id = tenant_id

    async def open(self) -> Tamperer:
        constraints = await self._connection.fetch(
            "SELECT conrelid::regclass::text AS relation, conname FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace AND conparentid = 0"
            " AND (contype = 'f' OR contype IN ('c', 'p', 'u')"
            " AND conrelid = ANY($1::text[]::regclass[]))"
            # Keys go after what refers to them.
            " ORDER BY contype <> 'f'",
            [*AUDITED, *DEFINITIONS],
        )
        for each in constraints:
            await self.run(f"ALTER TABLE {each['relation']} DROP CONSTRAINT {each['conname']}")
        indexes = await self._connection.fetch(
            "SELECT indexrelid::regclass::text AS name FROM pg_index"
            " WHERE indisunique AND indrelid = ANY($1::text[]::regclass[])",
            [*AUDITED, *DEFINITIONS],
        )
        for each in indexes:
            await self.run(f"DROP INDEX {each['name']}")
        for table in (*AUDITED, *DEFINITIONS):
            await self.run(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await self.run(f"SET ROLE {roles.MIGRATE}")
        return self

    async def run(self, statement: str, *arguments: object) -> str:
        done: str = await self._connection.execute(statement, *arguments)
        return done

    async def fetch(self, statement: str, *arguments: object) -> Sequence[Any]:
        rows: Sequence[Any] = await self._connection.fetch(statement, *arguments)
        return rows

    async def place(self, table: str) -> Place:
        """The entry with the most rows of a table."""
        return (await self.places(table))[0]

    async def places(self, table: str) -> list[Place]:
        """The entries that record a table, those with the most rows first."""
        rows = await self.fetch(
            "SELECT e.entry_id, s.seq FROM audit_entry AS e JOIN audit_seal AS s"
            " USING (tenant_id, entry_id) WHERE e.tenant_id = $1 AND e.recorded_table = $2"
            " ORDER BY e.member_count DESC, s.seq",
            self.tenant_id,
            table,
        )
        return [Place(self.tenant_id, row["entry_id"], row["seq"]) for row in rows]

    async def others(self, table: str) -> dict[str, list[str]]:
        """For each column expressions for what it does not hold: another value, and NULL if it may.

        A column of a type that nothing is said of here is an error: say what to change it to.
        """
        rows = await self.fetch(
            "SELECT attname, format_type(atttypid, NULL) AS type, attnotnull FROM pg_attribute"
            " WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            table,
        )
        return {
            row["attname"]: [
                _OTHERS[row["type"]].format(row["attname"]),
                *([] if row["attnotnull"] else ["NULL"]),
            ]
            for row in rows
        }

    async def changes(self, table: str) -> list[tuple[str, str]]:
        """Every change of a single column that holds something recorded."""
        return [
            (column, value)
            for column, values in (await self.others(table)).items()
            if column not in NOT_RECORDED[table]
            for value in values
        ]

    async def add_row(self, table: str, place: Place, leaf_no: int) -> None:
        """One more row of an entry, as its first, with a salt of its own."""
        await self.run(
            f"INSERT INTO {table} SELECT (jsonb_populate_record(r, jsonb_build_object("
            " 'leaf_no', $2::int, 'salt', sha256('added')))).*"
            f" FROM {table} AS r WHERE audit_entry_id = $1 AND leaf_no = 0",
            place.entry_id,
            leaf_no,
        )

    async def row_count(self, table: str, place: Place) -> int:
        """How many rows an entry has."""
        (row,) = await self.fetch(
            f"SELECT count(*) FROM {table} WHERE audit_entry_id = $1", place.entry_id
        )
        count: int = row["count"]
        return count

    @asynccontextmanager
    async def kept(self, *tables: str) -> AsyncIterator[None]:
        """What is done to tables within the block is undone at its end."""
        for table in tables:
            await self.run(f"CREATE TEMPORARY TABLE kept_{table} AS TABLE {table}")
        yield
        for table in tables:
            await self.run(f"DELETE FROM {table}")
            await self.run(f"INSERT INTO {table} TABLE kept_{table}")
            await self.run(f"DROP TABLE kept_{table}")

    async def leaf_no_where(self, table: str, place: Place, condition: str) -> int | None:
        """A row of an entry of which the condition holds; None if there is none."""
        rows = await self.fetch(
            f"SELECT leaf_no FROM {table} WHERE audit_entry_id = $1 AND {condition}"
            " ORDER BY leaf_no LIMIT 1",
            place.entry_id,
        )
        return rows[0]["leaf_no"] if rows else None

    async def last_seq(self) -> int:
        (row,) = await self.fetch(
            "SELECT max(seq) AS seq FROM audit_seal WHERE tenant_id = $1", self.tenant_id
        )
        seq: int = row["seq"]
        return seq


async def rehash(site: Site, tamperer: Tamperer, from_seq: int) -> None:
    """Make roots and seals anew from the rows as they are now, as a thorough forger does."""
    entries = await tamperer.fetch(
        "SELECT entry_id, recorded_table FROM audit_entry WHERE tenant_id = $1"
        " AND recorded_table IS NOT NULL",
        tamperer.tenant_id,
    )
    for entry in entries:
        leaves = await _leaves(site, tamperer.tenant_id, entry["entry_id"], entry["recorded_table"])
        await tamperer.run(
            "UPDATE audit_entry SET root = $1, member_count = $2 WHERE entry_id = $3",
            root(leaves),
            len(leaves),
            entry["entry_id"],
        )
    await tamperer.run(
        "DELETE FROM audit_seal WHERE tenant_id = $1 AND seq >= $2", tamperer.tenant_id, from_seq
    )
    await tamperer.run("DELETE FROM relay_watermark WHERE hop = 'seal'")
    await site.seal()


async def _leaves(site: Site, tenant_id: UUID, entry_id: UUID, table: str) -> list[bytes]:
    """Of the rows of an entry as they are now, in their order."""
    leaves: dict[int, bytes] = {}

    def take(lines: Sequence[bytes]) -> None:
        for line in lines:
            fields = fields_of(line)
            row = RECORDED[table].canonical(fields[7], fields[8:])
            leaves[int(fields[1])] = leaf(bytes.fromhex(fields[2].decode()), row)

    async with snapshot_of(site.dsn_of(roles.AUDITOR)) as connection:
        await stream(connection, copied(table), (tenant_id, entry_id, 1, 0), take)
    return [leaves[place] for place in sorted(leaves)]
