"""Whoever changes what was recorded is found, and the place is named."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from libs.audit.checkpoint import Head, append_checkpoints
from libs.audit.recorded import RECORDED, fields_of
from libs.audit.tree import leaf, root
from libs.audit.verify.reading import copied, snapshot_of, stream
from libs.postgres import roles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from uuid import UUID

    from libs.audit.verify import Finding, Verification
    from tests.conftest import Connect
    from tests.contract.audit.site import Recorded, Site

TABLES = tuple(RECORDED)
# Of each recorded table, a column that the leaf covers and another value for it.
CHANGES = {
    "decision": [
        ("outcome", "'hold_out'"),
        ("reason", "'khác'"),
        ("profile_version", "9"),
        ("cooldown", "interval '1 minute'"),
        ("expires_at", "NULL"),
        ("choices", "'[]'"),
        ("inputs", 'inputs || \'{"purpose": "x"}\''),
        ("decided_at", "decided_at + interval '1 microsecond'"),
        ("salt", "sha256('salt')"),
        ("leaf_no", "leaf_no + 100"),
        ("audit_entry_id", "gen_random_uuid()"),
    ],
    "delivery_attempt": [
        ("kind", "'rejected'"),
        ("provider_code", "'0'"),
        ("reason", "''"),
        ("created_at", "created_at + interval '1 microsecond'"),
        ("leaf_no", "NULL"),
        ("salt", "sha256('salt')"),
    ],
    "profile_consent_version": [
        ("state", "CASE state WHEN 'granted' THEN 'withdrawn' ELSE 'granted' END"),
        ("evidence", "'none'"),
        ("consented_at", "consented_at - interval '1 day'"),
        ("actor", "'somebody else'"),
        ("salt", "sha256('salt')"),
    ],
}
ENTRY_CHANGES = [
    ("kind", "'decided_again'"),
    ("actor", "'somebody else'"),
    ("call_id", "'another call'"),
    ("recorded_table", "NULL"),
    ("details", "'{\"a\": 1}'"),
    ("root", "sha256('root')"),
    ("created_at", "created_at + interval '1 second'"),
    ("member_count", "member_count + 1"),
]


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
    """leo_migrate, who owns everything, without triggers and foreign keys in its way."""

    def __init__(self, connection: Any, tenant_id: UUID) -> None:
        self._connection = connection
        self.tenant_id = tenant_id

    async def open(self) -> Tamperer:
        keys = await self._connection.fetch(
            "SELECT conrelid::regclass::text AS relation, conname FROM pg_constraint"
            " WHERE contype = 'f' AND connamespace = 'public'::regnamespace"
        )
        for key in keys:
            await self.run(f"ALTER TABLE {key['relation']} DROP CONSTRAINT {key['conname']}")
        for table in (*TABLES, "audit_entry", "audit_seal"):
            await self.run(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await self.run("ALTER TABLE decision DROP CONSTRAINT decision_acted_check")
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
        (row,) = await self.fetch(
            "SELECT e.entry_id, s.seq FROM audit_entry AS e JOIN audit_seal AS s"
            " USING (tenant_id, entry_id) WHERE e.tenant_id = $1 AND e.recorded_table = $2"
            " ORDER BY e.member_count DESC, s.seq LIMIT 1",
            self.tenant_id,
            table,
        )
        return Place(self.tenant_id, row["entry_id"], row["seq"])

    @asynccontextmanager
    async def kept(self, table: str) -> AsyncIterator[None]:
        """What is done to a table within the block is undone at its end."""
        await self.run(f"CREATE TEMPORARY TABLE kept AS TABLE {table}")
        yield
        await self.run(f"DELETE FROM {table}")
        await self.run(f"INSERT INTO {table} TABLE kept")
        await self.run("DROP TABLE kept")

    async def leaf_no_where(self, table: str, place: Place, condition: str) -> int:
        """A row of an entry of which the condition holds."""
        (row, *_) = await self.fetch(
            f"SELECT leaf_no FROM {table} WHERE audit_entry_id = $1 AND {condition}",
            place.entry_id,
        )
        leaf_no: int = row["leaf_no"]
        return leaf_no

    async def last_seq(self) -> int:
        (row,) = await self.fetch(
            "SELECT max(seq) AS seq FROM audit_seal WHERE tenant_id = $1", self.tenant_id
        )
        seq: int = row["seq"]
        return seq


@pytest.fixture
async def tamperer(migrate: Any, recorded: Recorded) -> Tamperer:
    return await Tamperer(migrate, recorded.tenant_id).open()


async def test_what_nobody_touched_verifies(site: Site) -> None:
    found = await site.verify()
    assert found.findings == []
    checked = found.checked
    assert checked.tenants == 2
    assert checked.seals == checked.entries > 20
    assert checked.unsealed == 0
    assert checked.checkpoints == 3
    # Every kind of recorded row is among what the other tests tamper with.
    assert {table: bool(count) for table, count in checked.rows.items()} == dict.fromkeys(
        TABLES, True
    )


async def test_one_tenant_verifies_by_itself(site: Site, recorded: Recorded) -> None:
    everything = (await site.verify()).checked
    one = await site.verify(tenant_id=recorded.tenant_id)
    assert one.findings == []
    assert (one.checked.tenants, one.checked.checkpoints) == (1, 2)
    assert 2 * one.checked.seals == everything.seals
    assert 2 * sum(one.checked.rows.values()) == sum(everything.rows.values())


async def test_several_processes_find_the_same(site: Site, tamperer: Tamperer) -> None:
    assert (await site.verify(process_count=2)).checked.entries == (
        await site.verify()
    ).checked.entries
    await tamperer.run("UPDATE decision SET reason = reason || '!'")
    await tamperer.run("DELETE FROM profile_consent_version")
    assert (await site.verify(process_count=2)).findings == (await site.verify()).findings


@pytest.mark.parametrize("table", TABLES)
async def test_a_changed_column_is_found(site: Site, tamperer: Tamperer, table: str) -> None:
    place = await tamperer.place(table)
    for column, value in CHANGES[table]:
        async with tamperer.kept(table):
            leaf_no = await tamperer.leaf_no_where(
                table, place, f"{column} IS DISTINCT FROM {value}"
            )
            await tamperer.run(
                f"UPDATE {table} SET {column} = {value} WHERE audit_entry_id = $1 AND leaf_no = $2",
                place.entry_id,
                leaf_no,
            )
            findings = (await site.verify()).findings
        # A row that names another entry is unrecorded there, and missing here.
        assert any(map(place.is_of, findings)), column
        rows = [finding for finding in findings if finding.what != "delivery_unrecorded"]
        assert {finding.subject for finding in rows} == {table}, column
    assert (await site.verify()).findings == []


async def test_columns_that_place_a_row_are_the_only_ones_that_no_hash_covers(
    site: Site, tamperer: Tamperer
) -> None:
    """So a column that is added to a recorded table is covered, or named here with its reason."""
    uncovered: dict[str, set[str]] = {}
    for table, form in RECORDED.items():
        arguments = (tamperer.tenant_id, None, 1, 0)
        names: set[str] = set()

        def take(lines: Sequence[bytes], names: set[str] = names) -> None:
            for line in lines:
                names.update(orjson.loads(fields_of(line)[7]))

        async with snapshot_of(site.dsn_of(roles.AUDITOR)) as connection:
            await stream(connection, copied(table), arguments, take)
        columns = await tamperer.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0"
            " AND NOT attisdropped",
            table,
        )
        uncovered[table] = {row["attname"] for row in columns} - names - set(form.documents)
    place = {"audit_entry_id", "leaf_no", "salt"}
    assert uncovered == {
        # cooldown_us is covered: the same, in whole microseconds.
        "decision": {*place, "transaction_id", "cooldown"},
        # What only an intent has; a result has none of it.
        "delivery_attempt": {*place, "provider_key", "request_hash", "template_version"},
        "profile_consent_version": {*place, "request_id", "request_digest"},
    }


@pytest.mark.parametrize("table", TABLES)
async def test_swapped_rows_are_found(site: Site, tamperer: Tamperer, table: str) -> None:
    if table == "profile_consent_version":
        # Each has an entry of its own: they swap entries.
        rows = await tamperer.fetch(
            "SELECT audit_entry_id FROM profile_consent_version WHERE tenant_id = $1"
            " ORDER BY audit_entry_id LIMIT 2",
            tamperer.tenant_id,
        )
        one, other = (row["audit_entry_id"] for row in rows)
        await tamperer.run(
            "UPDATE profile_consent_version SET audit_entry_id = CASE audit_entry_id WHEN $1"
            " THEN $2::uuid ELSE $1 END WHERE audit_entry_id IN ($1, $2)",
            one,
            other,
        )
        (seal,) = await tamperer.fetch("SELECT seq FROM audit_seal WHERE entry_id = $1", one)
        place = Place(tamperer.tenant_id, one, seal["seq"])
    else:
        place = await tamperer.place(table)
        await tamperer.run(
            f"UPDATE {table} SET leaf_no = 1 - leaf_no WHERE audit_entry_id = $1 AND leaf_no < 2",
            place.entry_id,
        )
    found = await site.verify()
    assert found.findings[0].what == "rows_changed"
    assert place.is_first_of(found)


@pytest.mark.parametrize("table", TABLES)
async def test_a_removed_row_is_found(site: Site, tamperer: Tamperer, table: str) -> None:
    place = await tamperer.place(table)
    await tamperer.run(
        f"DELETE FROM {table} WHERE audit_entry_id = $1 AND leaf_no = 0", place.entry_id
    )
    found = await site.verify()
    assert found.findings[0].what == "rows_missing"
    assert place.is_first_of(found)


async def test_an_added_row_is_found(site: Site, tamperer: Tamperer) -> None:
    place = await tamperer.place("decision")
    await tamperer.run(
        "INSERT INTO decision SELECT (jsonb_populate_record(d, jsonb_build_object('decision_id',"
        " gen_random_uuid(), 'trigger_id', gen_random_uuid(), 'leaf_no', 100))).*"
        " FROM decision AS d WHERE audit_entry_id = $1 AND leaf_no = 0",
        place.entry_id,
    )
    found = await site.verify()
    assert found.findings[0].what in ("rows_added", "rows_missing")
    assert place.is_first_of(found)


@pytest.mark.parametrize("table", TABLES)
async def test_a_changed_entry_is_found(site: Site, tamperer: Tamperer, table: str) -> None:
    place = await tamperer.place(table)
    for column, value in ENTRY_CHANGES:
        async with tamperer.kept("audit_entry"):
            await tamperer.run(
                f"UPDATE audit_entry SET {column} = {value} WHERE entry_id = $1", place.entry_id
            )
            found = await site.verify()
        assert "entry_changed" in {finding.what for finding in found.findings}, column
        assert place.is_first_of(found), column
    assert (await site.verify()).findings == []


@pytest.mark.parametrize("table", TABLES)
async def test_a_removed_entry_is_found(site: Site, tamperer: Tamperer, table: str) -> None:
    place = await tamperer.place(table)
    await tamperer.run("DELETE FROM audit_entry WHERE entry_id = $1", place.entry_id)
    found = await site.verify()
    assert {finding.what for finding in found.findings} == {"entry_missing", "row_unrecorded"}
    assert place.is_first_of(found)


async def test_an_entry_removed_with_its_rows_and_seal_is_found(
    site: Site, tamperer: Tamperer
) -> None:
    place = await tamperer.place("decision")
    await tamperer.run("DELETE FROM decision WHERE audit_entry_id = $1", place.entry_id)
    await tamperer.run("DELETE FROM audit_entry WHERE entry_id = $1", place.entry_id)
    await tamperer.run("DELETE FROM audit_seal WHERE entry_id = $1", place.entry_id)
    (first, *_) = (await site.verify()).findings
    assert (first.what, first.seq) == ("seal_missing", place.seq)


async def test_a_removed_seal_is_found(site: Site, tamperer: Tamperer) -> None:
    place = await tamperer.place("decision")
    await tamperer.run(
        "DELETE FROM audit_seal WHERE tenant_id = $1 AND seq = $2", place.tenant_id, place.seq
    )
    await site.seal()
    found = await site.verify()
    assert (found.findings[0].what, found.findings[0].seq) == ("seal_missing", place.seq)


async def test_removed_last_seals_are_found_by_the_checkpoint(
    site: Site, tamperer: Tamperer
) -> None:
    last = await tamperer.last_seq()
    await tamperer.run(
        "DELETE FROM audit_seal WHERE tenant_id = $1 AND seq >= $2", tamperer.tenant_id, last - 1
    )
    found = await site.verify()
    assert {(finding.what, finding.seq) for finding in found.findings} >= {
        ("checkpoint_differs", last - 1)
    }


@pytest.mark.parametrize("column", ["entry_digest", "prev", "hash"])
async def test_a_changed_seal_is_found(site: Site, tamperer: Tamperer, column: str) -> None:
    place = await tamperer.place("decision")
    await tamperer.run(
        f"UPDATE audit_seal SET {column} = sha256('x') WHERE entry_id = $1", place.entry_id
    )
    found = await site.verify()
    assert found.findings[0].what in ("seal_changed", "seal_unlinked", "entry_changed")
    assert place.is_first_of(found)


async def test_a_hash_of_another_length_is_found(
    site: Site, tamperer: Tamperer, connect: Connect
) -> None:
    async with connect(roles.MIGRATE) as owner:
        await owner.execute("ALTER TABLE audit_seal DROP CONSTRAINT audit_seal_hash_check")
    await tamperer.run(
        "UPDATE audit_seal SET hash = '\\x00' WHERE tenant_id = $1 AND seq = 3", tamperer.tenant_id
    )
    (first, *_) = (await site.verify()).findings
    assert (first.what, first.tenant_id, first.seq) == ("seal_changed", str(tamperer.tenant_id), 3)
    assert "not of 32 bytes" in first.detail


async def test_swapped_seals_are_found(site: Site, tamperer: Tamperer) -> None:
    place = await tamperer.place("decision")
    one, other = place.seq, place.seq + 1
    for old, new in ((one, 10**9), (other, one), (10**9, other)):
        await tamperer.run(
            "UPDATE audit_seal SET seq = $3 WHERE tenant_id = $1 AND seq = $2",
            place.tenant_id,
            old,
            new,
        )
    (first, *_) = (await site.verify()).findings
    assert (first.what, first.seq) == ("seal_unlinked", one)


async def rehash(site: Site, tamperer: Tamperer, from_seq: int) -> None:
    """Make roots and seals anew from the rows as they are now, as a thorough forger does."""
    entries = await tamperer.fetch(
        "SELECT entry_id, recorded_table FROM audit_entry WHERE tenant_id = $1"
        " AND recorded_table IS NOT NULL",
        tamperer.tenant_id,
    )
    roots = []
    for entry in entries:
        leaves: dict[int, bytes] = {}
        form = RECORDED[entry["recorded_table"]]

        def take(
            lines: Sequence[bytes], leaves: dict[int, bytes] = leaves, form: Any = form
        ) -> None:
            for line in lines:
                fields = fields_of(line)
                row = form.canonical(fields[7], fields[8:])
                leaves[int(fields[1])] = leaf(bytes.fromhex(fields[2].decode()), row)

        async with snapshot_of(site.dsn_of(roles.AUDITOR)) as connection:
            arguments = (tamperer.tenant_id, entry["entry_id"], 1, 0)
            await stream(connection, copied(entry["recorded_table"]), arguments, take)
        roots.append((root([leaves[place] for place in sorted(leaves)]), entry["entry_id"]))
    for made, entry_id in roots:
        await tamperer.run("UPDATE audit_entry SET root = $1 WHERE entry_id = $2", made, entry_id)
    await tamperer.run(
        "DELETE FROM audit_seal WHERE tenant_id = $1 AND seq >= $2", tamperer.tenant_id, from_seq
    )
    await tamperer.run("DELETE FROM relay_watermark WHERE hop = 'seal'")
    await site.seal()


@pytest.mark.parametrize("table", TABLES)
async def test_a_tail_that_was_made_anew_is_found_by_the_checkpoint(
    site: Site, tamperer: Tamperer, table: str
) -> None:
    column, value = CHANGES[table][0]
    place = await tamperer.place(table)
    # A checkpoint right before the place, so that the place itself is named.
    await write_checkpoint(site, tamperer, place.seq - 1)
    await tamperer.run(
        f"UPDATE {table} SET {column} = {value} WHERE audit_entry_id = $1 AND leaf_no = 0",
        place.entry_id,
    )
    await rehash(site, tamperer, place.seq)
    found = await site.verify()
    forged = [finding for finding in found.findings if finding.what != "delivery_unrecorded"]
    assert [(finding.what, finding.seq) for finding in forged] == [
        ("checkpoint_differs", place.seq)
    ]
    site.checkpoint_file.unlink()
    without = (await site.verify()).findings
    assert {finding.what for finding in without} <= {"delivery_unrecorded"}


async def test_a_chain_that_was_made_anew_as_a_whole_is_found_by_the_checkpoint(
    site: Site, tamperer: Tamperer
) -> None:
    await tamperer.run("UPDATE audit_entry SET actor = 'nobody' WHERE kind = 'tenant_created'")
    await rehash(site, tamperer, 1)
    (found,) = (await site.verify()).findings[:1]
    assert (found.what, found.seq) == ("checkpoint_differs", 1)
    assert found.subject.startswith(str(site.checkpoint_file))


async def write_checkpoint(site: Site, tamperer: Tamperer, seq: int) -> None:
    (seal,) = await tamperer.fetch(
        "SELECT hash FROM audit_seal WHERE tenant_id = $1 AND seq = $2", tamperer.tenant_id, seq
    )
    append_checkpoints(
        site.checkpoint_file, [Head(tamperer.tenant_id, seq, seal["hash"])], site.key
    )
