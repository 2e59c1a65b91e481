"""What a sealed removal names may be gone; whatever else is gone, or there again, is found."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from uuid_utils.compat import uuid7

from libs import audit
from services.ingest.removal import Retention, TenantRemoval
from services.ingest.settings import RemovalSettings, RetentionSettings
from services.ingest.store import IngestStore
from tests.contract.audit.site import ORIGIN
from tests.contract.audit.tampering import TABLES, Tamperer
from tests.contract.audit.test_proof import checkpoints_of, leo

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conftest import Connect
    from tests.contract.audit.site import Recorded, Site
    from tests.contract.audit.test_proof import Leo

__all__ = ["leo"]

AGE = timedelta(days=400)


@pytest.fixture
async def superuser(connect: Connect) -> Any:
    """A connection that keeps what was there, and may put it back."""
    async with connect("postgres") as connection:
        for table in TABLES:
            await connection.execute(f"CREATE TEMPORARY TABLE kept_{table} AS TABLE {table}")
        await connection.execute("SET session_replication_role = replica")
        yield connection


async def pass_days(superuser: Any, count: int) -> None:
    """Let the database's clock stand so many days ahead."""
    await superuser.execute(
        "CREATE OR REPLACE FUNCTION leo_now() RETURNS timestamptz LANGUAGE sql STABLE"
        f" RETURN now() + interval '{count} days'"
    )


async def retain(site: Site, *, batch_count: int = 500) -> dict[str, int]:
    """Remove what is older than AGE; the rows of both tenants by table."""
    retention = Retention(
        site.ingest,
        site.finder,
        RetentionSettings(stories=AGE, profile_versions=AGE, consent_versions=AGE),
        RemovalSettings(batch_count=batch_count, batch_pause=timedelta(0)),
    )
    reports = await retention.remove()
    assert not any(report.problem for report in reports)
    return {
        table: sum(report.row_counts.get(table, 0) for report in reports)
        for table in {table for report in reports for table in report.row_counts}
    }


async def settle(site: Site, superuser: Any, tenant_id: UUID) -> None:
    """A receipt proves each delivery in doubt."""
    rows = await superuser.fetch(
        "UPDATE delivery_log SET state = 'accepted', updated_at = leo_now()"
        " WHERE tenant_id = $1 AND state = 'outcome_unknown' RETURNING delivery_id",
        tenant_id,
    )
    for row in rows:
        await append(
            site,
            tenant_id,
            "delivery_settled",
            {"delivery_id": str(row["delivery_id"]), "state": "accepted"},
        )
    assert rows


async def append(site: Site, tenant_id: UUID, kind: str, details: dict[str, Any]) -> None:
    """An entry that some service appends."""
    async with site.decision.tenant(tenant_id) as connection:
        await audit.append(
            connection,
            kind=kind,
            actor="somebody",
            call_id="",
            details=details,
        )


async def whats(site: Site, **options: Any) -> set[tuple[str, str]]:
    """What a verification finds, in which table."""
    found = await site.verify(**options)
    return {(finding.what, finding.subject.split(" ")[0]) for finding in found.findings}


async def test_rows_that_went_for_their_age_verify_once_their_removal_is_sealed(
    site: Site, superuser: Any, recorded: Recorded
) -> None:
    await pass_days(superuser, 401)
    # The two in doubt stay, and their decisions: the entry of these loses the other rows.
    gone = await retain(site, batch_count=3)
    assert set(gone) >= {"decision", "delivery_log", "profile_consent_version", "marketing_event"}
    assert await whats(site) >= {
        ("rows_missing", "decision"),
        ("rows_missing", "profile_consent_version"),
        ("delivery_unrecorded", "delivery_log"),
    }
    await site.seal()
    assert await whats(site) == set()
    assert await whats(site, process_count=2) == set()
    assert await whats(site, tenant_id=recorded.tenant_id) == set()

    await settle(site, superuser, recorded.tenant_id)
    await site.seal()
    assert await whats(site) == set()
    await pass_days(superuser, 802)
    # Row by row, so that a whole entry goes in several removals.
    assert (await retain(site, batch_count=1))["delivery_attempt"] == 4
    await site.seal()
    await site.checkpoint()
    assert await whats(site) == set()
    assert await whats(site, process_count=2) == set()
    left = await superuser.fetchval(
        "SELECT (SELECT count(*) FROM decision WHERE tenant_id = $1)"
        " + (SELECT count(*) FROM delivery_attempt WHERE tenant_id = $1)",
        recorded.tenant_id,
    )
    assert left == 0


@pytest.fixture
async def removed(site: Site, superuser: Any) -> None:
    """Both tenants without what is old; the doubts are left."""
    await pass_days(superuser, 401)
    await retain(site)
    await site.seal()
    assert await whats(site) == set()


@pytest.mark.usefixtures("removed")
async def test_a_row_that_is_gone_beside_those_that_were_removed_is_found(
    site: Site, superuser: Any, recorded: Recorded
) -> None:
    for table in TABLES:
        entry_id = await superuser.fetchval(
            f"SELECT audit_entry_id FROM {table} WHERE tenant_id = $1 AND leaf_no IS NOT NULL"
            " ORDER BY audit_entry_id, leaf_no LIMIT 1",
            recorded.tenant_id,
        )
        await superuser.execute(
            f"DELETE FROM {table} WHERE ctid = (SELECT ctid FROM {table} WHERE tenant_id = $1"
            " AND audit_entry_id = $2 ORDER BY leaf_no LIMIT 1)",
            recorded.tenant_id,
            entry_id,
        )
        found = [
            finding.entry_id
            for finding in (await site.verify()).findings
            if (finding.what, finding.subject) == ("rows_missing", table)
        ]
        assert found == [str(entry_id)], table


@pytest.mark.usefixtures("removed")
async def test_a_row_that_is_changed_in_an_entry_that_lost_none_is_found(
    site: Site, superuser: Any
) -> None:
    await superuser.execute("UPDATE profile_consent_version SET actor = 'x'")
    await superuser.execute("UPDATE delivery_attempt SET reason = 'x'")
    assert await whats(site) == {
        ("rows_changed", "profile_consent_version"),
        ("rows_changed", "delivery_attempt"),
    }


@pytest.mark.usefixtures("removed")
async def test_a_row_that_was_removed_and_is_there_again_is_found(
    site: Site, superuser: Any
) -> None:
    """Also where it is exactly as it was: of an entry that lost some, and of one that lost all."""
    for table in ("decision", "profile_consent_version"):
        await superuser.execute(f"INSERT INTO {table} TABLE kept_{table} ON CONFLICT DO NOTHING")
        assert await whats(site) == {("row_returned", table)}
        assert await whats(site, process_count=2) == {("row_returned", table)}
        await superuser.execute(f"DELETE FROM {table}")
        await superuser.execute(
            f"INSERT INTO {table} SELECT * FROM kept_{table} AS k WHERE NOT EXISTS ("
            " SELECT FROM audit_entry AS e,"
            " jsonb_array_elements(e.details #> ARRAY['tables', $1, 'rows']) AS r (named)"
            " WHERE e.kind = 'rows_removed' AND named ->> 0 = k.audit_entry_id::text"
            " AND k.leaf_no BETWEEN (named ->> 1)::int AND (named ->> 2)::int)",
            table,
        )
        assert await whats(site) == set()


@pytest.mark.usefixtures("removed")
async def test_a_delivery_that_a_removal_names_and_whose_attempts_are_there_is_found(
    site: Site, superuser: Any, recorded: Recorded
) -> None:
    delivery_id = recorded.delivery_ids[0]
    await superuser.execute("DELETE FROM delivery_log WHERE delivery_id = $1", delivery_id)
    deliveries = {"row_count": 1, "deliveries": [str(delivery_id)]}
    await append(site, recorded.tenant_id, "rows_removed", {"tables": {"delivery_log": deliveries}})
    await site.seal()
    assert await whats(site) == {("delivery_unrecorded", "delivery_log")}


FORGED: dict[str, Any] = {
    "of another table": lambda _, entry_id, last: {
        "tables": {"delivery_attempt": {"rows": [[str(entry_id), 0, last]]}}
    },
    "of fewer rows": lambda table, entry_id, last: {
        "tables": {table: {"rows": [[str(entry_id), 1, last]]}}
    },
    "of more rows than there were": lambda table, entry_id, last: {
        "tables": {table: {"rows": [[str(entry_id), 0, last + 1], [str(entry_id), 0, 10**12]]}}
    },
    "of nothing": lambda table, *_: {
        "tables": {table: {"rows": ["x", [], [1, {}, []], [str(uuid7()), 0, 0], None]}}
    },
    "without rows": lambda table, *_: {"tables": {table: {"rows": 7}, "x": 1}},
    "without tables": lambda *_: {"tables": [1]},
}


@pytest.mark.parametrize("details", FORGED.values(), ids=FORGED)
async def test_a_removal_excuses_what_it_names_and_nothing_else(
    site: Site, migrate: Any, recorded: Recorded, details: Any
) -> None:
    tamperer = await Tamperer(migrate, recorded.tenant_id).open()
    place = await tamperer.place("decision")
    (row,) = await tamperer.fetch(
        "SELECT max(leaf_no) AS last FROM decision WHERE audit_entry_id = $1", place.entry_id
    )
    await tamperer.run("DELETE FROM decision WHERE audit_entry_id = $1", place.entry_id)
    await append(
        site,
        recorded.tenant_id,
        "rows_removed",
        details("decision", place.entry_id, row["last"]),
    )
    await site.seal()
    findings = [found for found in (await site.verify()).findings if place.is_of(found)]
    assert [found.what for found in findings] == ["rows_missing"]


async def test_a_removal_of_one_tenant_excuses_nothing_of_another(
    site: Site, migrate: Any, recorded: Recorded
) -> None:
    tamperer = await Tamperer(migrate, recorded.tenant_id).open()
    place = await tamperer.place("profile_consent_version")
    await tamperer.run(
        "DELETE FROM profile_consent_version WHERE audit_entry_id = $1", place.entry_id
    )
    rows = {"rows": [[str(place.entry_id), 0, 0]]}
    (other,) = await tamperer.fetch(
        "SELECT tenant_id FROM tenant WHERE tenant_id <> $1", recorded.tenant_id
    )
    details = {"tables": {"profile_consent_version": rows}}
    await append(site, other["tenant_id"], "rows_removed", details)
    await site.seal()
    (finding,) = (await site.verify()).findings
    assert place.is_of(finding)
    await append(site, recorded.tenant_id, "rows_removed", details)
    (finding,) = (await site.verify()).findings
    assert place.is_of(finding)
    await site.seal()
    assert await whats(site) == set()


async def test_a_tenant_verifies_at_every_moment_of_its_end(
    site: Site, superuser: Any, recorded: Recorded
) -> None:
    await IngestStore(site.ingest).remove_tenant(recorded.tenant_id, ORIGIN)
    await site.seal()
    removal = TenantRemoval(site.ingest, site.finder, RemovalSettings(batch_count=2))
    batch_count = 0
    while await removal.look():
        batch_count += 1
        if batch_count % 4 == 0:
            await site.seal()
            assert await whats(site) == set()
    await site.seal()
    assert await whats(site) == set()
    assert await whats(site, process_count=2, tenant_id=recorded.tenant_id) == set()
    assert batch_count > 20
    # The other one is looked at as ever.
    await superuser.execute("DELETE FROM delivery_attempt WHERE leaf_no = 0")
    assert await whats(site) >= {("rows_missing", "delivery_attempt")}


@pytest.mark.parametrize("entry", [True, False], ids=["only an entry says so", "only the row does"])
async def test_a_tenant_that_is_said_to_be_removed_loses_nothing_unnoticed(
    site: Site, superuser: Any, recorded: Recorded, *, entry: bool
) -> None:
    if entry:
        await append(
            site, recorded.tenant_id, "tenant_state_changed", {"from": "active", "to": "removing"}
        )
        await site.seal()
    else:
        await superuser.execute(
            "UPDATE tenant SET state = 'removed' WHERE tenant_id = $1", recorded.tenant_id
        )
    for table in TABLES:
        await superuser.execute(f"DELETE FROM {table} WHERE tenant_id = $1", recorded.tenant_id)
    assert await whats(site) == {("rows_missing", table) for table in TABLES} | {
        ("delivery_unrecorded", "delivery_log")
    }


@pytest.mark.usefixtures("removed")
async def test_who_asks_for_a_proof_is_told_what_was_removed(
    site: Site, leo: Leo, recorded: Recorded
) -> None:
    await site.checkpoint()
    doubted, _, dead = recorded.delivery_ids
    for delivery_id, says in (
        (dead, f"delivery {dead} was removed for its age on 20"),
        (doubted, "were removed for their age, so that its root cannot be computed any more"),
        (uuid7(), "it may have been removed, for its age or with its tenant"),
    ):
        answer = await leo("prove", str(delivery_id), *checkpoints_of(site))
        assert says in str(answer.exception)
