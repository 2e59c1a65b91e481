"""What an erasure empties verifies where a sealed entry names the row, and only there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from libs import audit
from libs.audit.recorded import RECORDED, fields_of
from libs.audit.verify.reading import copied, snapshot_of, stream
from libs.postgres import roles
from tests.contract.audit.tampering import TABLES, Place, Tamperer

if TYPE_CHECKING:
    from tests.contract.audit.site import Site

EMPTIED = {
    "decision": "inputs = NULL, salt = NULL",
    "delivery_attempt": "salt = NULL",
    "profile_consent_version": "evidence = NULL, salt = NULL",
}


async def erase(site: Site, tamperer: Tamperer, table: str, *, named: bool) -> Place:
    """Empty the row at place 0 of an entry, as the one door does, and name it."""
    place = await tamperer.place(table)
    kept = await leaf_of(site, table, place)
    await tamperer.run(
        f"UPDATE {table} SET {EMPTIED[table]} WHERE audit_entry_id = $1 AND leaf_no = 0",
        place.entry_id,
    )
    if named:
        async with site.decision.tenant(tamperer.tenant_id) as connection:
            await audit.append(
                connection,
                kind="rows_erased",
                actor="an-administrator",
                call_id="call-9",
                details={"table": table, "rows": [[str(place.entry_id), 0, kept.hex()]]},
            )
    return place


async def leaf_of(site: Site, table: str, place: Place) -> bytes:
    found: list[bytes] = []

    def take(lines: Any) -> None:
        for line in lines:
            fields = fields_of(line)
            if fields[1] == b"0":
                row = RECORDED[table].canonical(fields[7], fields[8:])
                found.append(audit.leaf(bytes.fromhex(fields[2].decode()), row))

    async with snapshot_of(site.dsn_of(roles.AUDITOR)) as connection:
        await stream(connection, copied(table), (place.tenant_id, place.entry_id, 1, 0), take)
    return found[0]


@pytest.mark.parametrize("table", TABLES)
async def test_an_emptied_row_that_no_erasure_names_is_found(
    site: Site, tamperer: Tamperer, table: str
) -> None:
    place = await erase(site, tamperer, table, named=False)
    (finding,) = (await site.verify()).findings
    assert finding.what == "row_erased"
    assert place.is_of(finding)


@pytest.mark.parametrize("table", TABLES)
async def test_an_emptied_row_verifies_once_the_erasure_is_sealed(
    site: Site, tamperer: Tamperer, table: str
) -> None:
    place = await erase(site, tamperer, table, named=True)
    (finding,) = (await site.verify()).findings
    assert place.is_of(finding)
    await site.seal()
    assert (await site.verify()).findings == []


async def test_the_other_rows_of_the_entry_are_verified_still(
    site: Site, tamperer: Tamperer
) -> None:
    place = await erase(site, tamperer, "decision", named=True)
    await site.seal()
    await tamperer.run(
        "UPDATE decision SET reason = '' WHERE audit_entry_id = $1 AND leaf_no = 1", place.entry_id
    )
    (finding,) = (await site.verify()).findings
    assert finding.what == "rows_changed"
    assert place.is_of(finding)


async def test_a_row_that_was_erased_holds_nothing_again(site: Site, tamperer: Tamperer) -> None:
    place = await erase(site, tamperer, "decision", named=True)
    await site.seal()
    await tamperer.run(
        "UPDATE decision SET inputs = '{}' WHERE audit_entry_id = $1 AND leaf_no = 0",
        place.entry_id,
    )
    (finding,) = (await site.verify()).findings
    assert finding.what == "row_erased"


async def test_an_erasure_with_another_leaf_excuses_nothing(site: Site, tamperer: Tamperer) -> None:
    place = await erase(site, tamperer, "decision", named=False)
    async with site.decision.tenant(tamperer.tenant_id) as connection:
        await audit.append(
            connection,
            kind="rows_erased",
            actor="somebody",
            call_id="",
            details={"rows": [[str(place.entry_id), 0, "00" * 32], "nonsense", ["x"], [1, [], {}]]},
        )
    await site.seal()
    (finding,) = (await site.verify()).findings
    assert finding.what == "rows_changed"
    assert place.is_of(finding)
