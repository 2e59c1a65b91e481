"""Whoever changes what was recorded is found, and the place is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

import orjson
import pytest

from libs.audit.recorded import RECORDED, fields_of
from libs.audit.verify.reading import copied, snapshot_of, stream
from libs.postgres import roles
from tests.contract.audit.tampering import AUDITED, NOT_RECORDED, TABLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.contract.audit.site import Recorded, Site
    from tests.contract.audit.tampering import Tamperer

ADDED: Final = UUID("0193f000-0000-7000-8000-000000000001")


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
async def test_every_change_of_a_column_is_found(
    site: Site, tamperer: Tamperer, table: str
) -> None:
    place = await tamperer.place(table)
    changed = set()
    for column, value in await tamperer.changes(table):
        leaf_no = await tamperer.leaf_no_where(table, place, f"{column} IS DISTINCT FROM {value}")
        if leaf_no is None:
            # It holds nothing in any row, so it cannot be emptied.
            continue
        async with tamperer.kept(table):
            await tamperer.run(
                f"UPDATE {table} SET {column} = {value} WHERE audit_entry_id = $1 AND leaf_no = $2",
                place.entry_id,
                leaf_no,
            )
            findings = (await site.verify()).findings
        # A row that names another entry is unrecorded there, and missing here.
        assert any(map(place.is_of, findings)), (column, value)
        rows = [finding for finding in findings if finding.what != "delivery_unrecorded"]
        assert {finding.subject for finding in rows} == {table}, (column, value)
        changed.add(column)
    assert changed == (await tamperer.others(table)).keys() - NOT_RECORDED[table]
    assert (await site.verify()).findings == []


@pytest.mark.parametrize("table", AUDITED)
async def test_what_no_hash_covers_is_nothing_that_was_recorded(
    site: Site, tamperer: Tamperer, table: str
) -> None:
    others = await tamperer.others(table)
    for column in NOT_RECORDED[table]:
        await tamperer.run(f"UPDATE {table} SET {column} = {others[column][0]}")
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
    # Covered as cooldown_us: the same, in whole microseconds.
    otherwise = {"decision": {"cooldown"}}
    assert uncovered == {
        table: place | NOT_RECORDED[table] | otherwise.get(table, set()) for table in TABLES
    }


@pytest.mark.parametrize("table", TABLES)
async def test_a_copy_of_a_row_is_found(site: Site, tamperer: Tamperer, table: str) -> None:
    """To the byte, also where it is the only row of its entry, and another entry's is gone."""
    *others, place = await tamperer.places(table)
    async with tamperer.kept(table):
        await tamperer.run(
            f"INSERT INTO {table} SELECT * FROM {table} WHERE audit_entry_id = $1 AND leaf_no = 0",
            place.entry_id,
        )
        findings = (await site.verify()).findings
        assert ("rows_added", place.seq) in {(found.what, found.seq) for found in findings}
        for gone in others[-1:]:
            await tamperer.run(f"DELETE FROM {table} WHERE audit_entry_id = $1", gone.entry_id)
            findings = (await site.verify(process_count=2)).findings
            assert {("rows_added", place.seq), ("rows_missing", gone.seq)} <= {
                (found.what, found.seq) for found in findings
            }


async def test_an_end_of_an_attempt_without_an_entry_is_found(
    site: Site, tamperer: Tamperer
) -> None:
    place = await tamperer.place("delivery_attempt")
    await tamperer.run(
        "INSERT INTO delivery_attempt SELECT (jsonb_populate_record(a, jsonb_build_object("
        " 'attempt', 7, 'audit_entry_id', NULL, 'leaf_no', NULL, 'salt', NULL))).*"
        " FROM delivery_attempt AS a WHERE audit_entry_id = $1 AND leaf_no = 0",
        place.entry_id,
    )
    (found,) = (await site.verify()).findings
    assert (found.what, found.subject) == ("row_unrecorded", "delivery_attempt")
    assert "attempt 7 of delivery" in found.detail


@pytest.mark.parametrize("table", TABLES)
async def test_swapped_rows_are_found(site: Site, tamperer: Tamperer, table: str) -> None:
    first, *others = await tamperer.places(table)
    swaps = 0
    if await tamperer.row_count(table, first) > 1:
        async with tamperer.kept(table):
            await tamperer.run(
                f"UPDATE {table} SET leaf_no = 1 - leaf_no"
                " WHERE audit_entry_id = $1 AND leaf_no < 2",
                first.entry_id,
            )
            found = await site.verify()
        assert [finding.what for finding in found.findings] == ["rows_changed"]
        assert first.is_first_of(found)
        swaps += 1
    for other in others[-1:]:
        # Two rows at the same place of their entries.
        async with tamperer.kept(table):
            await tamperer.run(
                f"UPDATE {table} SET audit_entry_id = CASE audit_entry_id WHEN $1 THEN $2::uuid"
                " ELSE $1 END WHERE audit_entry_id IN ($1, $2) AND leaf_no = 0",
                first.entry_id,
                other.entry_id,
            )
            found = await site.verify()
        assert [finding.what for finding in found.findings] == ["rows_changed"] * 2
        assert any(map(first.is_of, found.findings))
        assert any(map(other.is_of, found.findings))
        swaps += 1
    assert swaps
    assert (await site.verify()).findings == []


@pytest.mark.parametrize("table", TABLES)
async def test_a_removed_row_is_found(site: Site, tamperer: Tamperer, table: str) -> None:
    place = await tamperer.place(table)
    await tamperer.run(
        f"DELETE FROM {table} WHERE audit_entry_id = $1 AND leaf_no = 0", place.entry_id
    )
    found = await site.verify()
    assert found.findings[0].what == "rows_missing"
    assert place.is_first_of(found)


@pytest.mark.parametrize("table", TABLES)
async def test_all_rows_of_an_entry_removed_are_found(
    site: Site, tamperer: Tamperer, table: str
) -> None:
    place = await tamperer.place(table)
    await tamperer.run(f"DELETE FROM {table} WHERE audit_entry_id = $1", place.entry_id)
    found = await site.verify()
    rows = [finding for finding in found.findings if finding.what != "delivery_unrecorded"]
    assert [finding.what for finding in rows] == ["rows_missing"]
    assert place.is_of(rows[0])


@pytest.mark.parametrize("table", TABLES)
async def test_an_added_row_is_found(site: Site, tamperer: Tamperer, table: str) -> None:
    place = await tamperer.place(table)
    # Behind the last, at a place that is taken, and far away.
    for leaf_no in (await tamperer.row_count(table, place), 0, 100):
        async with tamperer.kept(table):
            await tamperer.add_row(table, place, leaf_no)
            found = await site.verify()
        if leaf_no:
            assert found.findings[0].what == "rows_added", leaf_no
        assert place.is_first_of(found), leaf_no


@pytest.mark.parametrize("table", ["audit_entry", "audit_seal"])
async def test_every_change_of_an_entry_or_a_seal_is_found(
    site: Site, tamperer: Tamperer, table: str
) -> None:
    place = await tamperer.place("decision")
    for column, value in await tamperer.changes(table):
        async with tamperer.kept(table):
            await tamperer.run(
                f"UPDATE {table} SET {column} = {value} WHERE entry_id = $1", place.entry_id
            )
            found = await site.verify()
        # A seal of another tenant or entry, and one at another place, leaves its own empty.
        assert any(
            finding.tenant_id == str(place.tenant_id) and finding.seq == place.seq
            for finding in found.findings
        ), (column, value)
    assert (await site.verify()).findings == []


@pytest.mark.parametrize("table", TABLES)
async def test_a_changed_entry_is_found_whatever_it_records(
    site: Site, tamperer: Tamperer, table: str
) -> None:
    place = await tamperer.place(table)
    await tamperer.run(
        "UPDATE audit_entry SET actor = 'somebody else' WHERE entry_id = $1", place.entry_id
    )
    found = await site.verify()
    assert [finding.what for finding in found.findings] == ["entry_changed"]
    assert place.is_first_of(found)


async def test_swapped_entries_are_found(site: Site, tamperer: Tamperer) -> None:
    """Two entries, each with all that it says, under each other's id."""
    one, other, *_ = await tamperer.places("profile_consent_version")
    for old, new in (
        (one.entry_id, UUID(int=0)),
        (other.entry_id, one.entry_id),
        (UUID(int=0), other.entry_id),
    ):
        await tamperer.run("UPDATE audit_entry SET entry_id = $2 WHERE entry_id = $1", old, new)
    found = await site.verify()
    for place in (one, other):
        whats = {finding.what for finding in found.findings if place.is_of(finding)}
        assert whats == {"entry_changed", "rows_changed"}


async def test_an_added_entry_is_found_unless_it_is_sealed_as_a_new_one(
    site: Site, tamperer: Tamperer
) -> None:
    place = await tamperer.place("decision")
    await tamperer.run(
        "INSERT INTO audit_entry SELECT (jsonb_populate_record(e, to_jsonb(e) || "
        " jsonb_build_object('entry_id', $2::uuid, 'member_count', 0, 'recorded_table', NULL,"
        " 'created_at', e.created_at - interval '1 day'))).*"
        " FROM audit_entry AS e WHERE entry_id = $1",
        place.entry_id,
        ADDED,
    )
    (finding,) = (await site.verify()).findings
    assert (finding.what, finding.entry_id) == ("entry_unsealed", str(ADDED))


async def test_an_added_seal_is_found(site: Site, tamperer: Tamperer) -> None:
    last = await tamperer.last_seq()
    await tamperer.run(
        "INSERT INTO audit_seal SELECT (jsonb_populate_record(s, to_jsonb(s) || "
        " jsonb_build_object('entry_id', $3::uuid, 'seq', $2::bigint + 1))).*"
        " FROM audit_seal AS s WHERE tenant_id = $1 AND seq = $2",
        tamperer.tenant_id,
        last,
        ADDED,
    )
    found = {(finding.what, finding.seq) for finding in (await site.verify()).findings}
    assert found == {("seal_unlinked", last + 1), ("entry_missing", last + 1)}


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


async def test_a_hash_of_another_length_is_found(site: Site, tamperer: Tamperer) -> None:
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
