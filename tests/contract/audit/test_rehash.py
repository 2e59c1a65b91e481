"""A forger who makes rows, entries and chain anew without a flaw is found by the checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libs.audit.checkpoint import Head, append_checkpoints
from tests.contract.audit.tampering import AUDITED, TABLES, rehash

if TYPE_CHECKING:
    from tests.contract.audit.site import Site
    from tests.contract.audit.tampering import Place, Tamperer

# Somewhere in a column that every recorded row has.
VALUE = {
    "decision": "reason = 'khác'",
    "delivery_attempt": "provider_code = '0'",
    "profile_consent_version": "evidence = 'none'",
}


async def change_row(tamperer: Tamperer, table: str, place: Place) -> None:
    await tamperer.run(
        f"UPDATE {table} SET {VALUE[table]} WHERE audit_entry_id = $1 AND leaf_no = 0",
        place.entry_id,
    )


async def swap_rows(tamperer: Tamperer, table: str, place: Place) -> None:
    """Within the entry; where it has a single row, with the one of another entry."""
    if await tamperer.row_count(table, place) > 1:
        await tamperer.run(
            f"UPDATE {table} SET leaf_no = 1 - leaf_no WHERE audit_entry_id = $1 AND leaf_no < 2",
            place.entry_id,
        )
        return
    _, other, *_ = await tamperer.places(table)
    await tamperer.run(
        f"UPDATE {table} SET audit_entry_id = CASE audit_entry_id WHEN $1 THEN $2::uuid"
        " ELSE $1 END WHERE audit_entry_id IN ($1, $2)",
        place.entry_id,
        other.entry_id,
    )


async def remove_row(tamperer: Tamperer, table: str, place: Place) -> None:
    last = await tamperer.row_count(table, place) - 1
    await tamperer.run(
        f"DELETE FROM {table} WHERE audit_entry_id = $1 AND leaf_no = $2", place.entry_id, last
    )


async def add_row(tamperer: Tamperer, table: str, place: Place) -> None:
    await tamperer.add_row(table, place, await tamperer.row_count(table, place))


async def change_entry(tamperer: Tamperer, _: str, place: Place) -> None:
    await tamperer.run(
        "UPDATE audit_entry SET actor = 'nobody' WHERE entry_id = $1", place.entry_id
    )


async def remove_entry(tamperer: Tamperer, table: str, place: Place) -> None:
    await tamperer.run(f"DELETE FROM {table} WHERE audit_entry_id = $1", place.entry_id)
    await tamperer.run("DELETE FROM audit_entry WHERE entry_id = $1", place.entry_id)


async def add_entry(tamperer: Tamperer, _: str, place: Place) -> None:
    """Right before the one at a place: its seal is the first that is made anew."""
    await tamperer.run(
        "INSERT INTO audit_entry SELECT (jsonb_populate_record(e, to_jsonb(e) || "
        " jsonb_build_object('entry_id', '00000000-0000-7000-8000-000000000000', 'kind', 'tried',"
        " 'member_count', 0, 'recorded_table', NULL, 'root', '\\x' || repeat('00', 32)))).*"
        " FROM audit_entry AS e WHERE entry_id = $1",
        place.entry_id,
    )


TAMPERINGS = (
    *(change_row, swap_rows, remove_row, add_row),
    *(change_entry, remove_entry, add_entry),
)


@pytest.mark.parametrize("table", TABLES)
async def test_what_was_made_anew_is_found_by_the_checkpoint(
    site: Site, tamperer: Tamperer, table: str
) -> None:
    place = await tamperer.place(table)
    # A checkpoint right before the place, so that the place itself is named.
    await write_checkpoint(site, tamperer, place.seq - 1)
    checkpoints = site.checkpoint_file.read_bytes()
    for tampering in TAMPERINGS:
        async with tamperer.kept(*AUDITED, "relay_watermark"):
            await tampering(tamperer, table, place)
            await rehash(site, tamperer, place.seq)
            found = await site.verify()
            # Made anew without a flaw: nothing but the checkpoints tells.
            site.checkpoint_file.unlink()
            without = await site.verify()
        site.checkpoint_file.write_bytes(checkpoints)
        forged = [finding for finding in found.findings if finding.what != "delivery_unrecorded"]
        assert {finding.what for finding in forged} == {"checkpoint_differs"}, tampering
        assert f"from seal {place.seq} to" in forged[0].detail, tampering
        assert {finding.what for finding in without.findings} <= {"delivery_unrecorded"}, tampering
    assert (await site.verify()).findings == []


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
