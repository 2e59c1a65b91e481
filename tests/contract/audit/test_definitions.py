"""Whoever changes what entries define is found: rules, snapshots and what else decisions name."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import pytest

from libs.audit.definitions import DEFINED
from libs.audit.recorded import fields_of
from libs.audit.verify.reading import copied, snapshot_of, stream
from libs.postgres import roles
from libs.postgres.migrations import MIGRATIONS_FOLDER
from tests.contract.audit.tampering import DEFINITIONS, rehash
from tests.contract.audit.test_rehash import write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libs.audit.verify import Finding
    from tests.conftest import Connect
    from tests.contract.audit.site import Site
    from tests.contract.audit.tampering import Tamperer

REQUEST = {"request_id", "request_digest"}
# What of each table no entry covers.
UNCOVERED = {
    "activation_rule_version": {"created_at"},
    "campaign": {*REQUEST, "display_name", "created_at", "updated_at"},
    "message_template": {*REQUEST, "created_at", "updated_at"},
    "segment_snapshot": REQUEST,
    "segment_snapshot_member": set[str](),
    # The campaign is its rule's; the others say how far it is.
    "campaign_launch": {
        *REQUEST,
        "campaign_id",
        "created_at",
        "updated_at",
        "state",
        "removed_count",
    },
}
# What makes another row of one.
ONE = str(UUID(int=1))
ADDED: dict[str, dict[str, Any]] = {
    "activation_rule_version": {"version": 100},
    "campaign": {"campaign_id": ONE, "name": "another", "request_id": None},
    "message_template": {"template_id": ONE, "name": "another", "request_id": None},
    "segment_snapshot": {"snapshot_id": ONE, "request_id": None},
    "segment_snapshot_member": {"chunk_no": 100},
    "campaign_launch": {"launch_id": ONE, "request_id": None},
}
# A part of a snapshot is no definition by itself.
PARTS = {"segment_snapshot_member": "segment_snapshot"}


def of_definitions(site_findings: list[Finding], table: str) -> set[str]:
    """What was found, all of it about definitions, and of one table."""
    assert site_findings
    for finding in site_findings:
        assert finding.what.startswith("definition_"), finding
        assert finding.subject.split()[0] == PARTS.get(table, table), finding
    return {finding.what for finding in site_findings}


@pytest.mark.parametrize("table", DEFINITIONS)
async def test_a_changed_column_is_found(site: Site, tamperer: Tamperer, table: str) -> None:
    """Every column of the catalogue, so that a new one is covered or named as uncovered."""
    others = await tamperer.others(table)
    assert others.keys() >= UNCOVERED[table]
    for column in others.keys() - UNCOVERED[table]:
        async with tamperer.kept(table):
            await tamperer.run(
                f"UPDATE {table} SET {column} = {others[column][0]} WHERE ctid = ("
                f"SELECT ctid FROM {table} WHERE tenant_id = $1 LIMIT 1)",
                tamperer.tenant_id,
            )
            findings = (await site.verify()).findings
        whats = of_definitions(findings, table)
        assert whats & {"definition_changed", "definition_missing"}, column
    assert (await site.verify()).findings == []


@pytest.mark.parametrize("table", DEFINITIONS)
async def test_a_removed_row_is_found(site: Site, tamperer: Tamperer, table: str) -> None:
    await tamperer.run(f"DELETE FROM {table} WHERE tenant_id = $1", tamperer.tenant_id)
    findings = (await site.verify()).findings
    assert of_definitions(findings, table) == {
        "definition_changed" if table in PARTS else "definition_missing"
    }
    # The entry is named, and where it stands.
    assert all(finding.entry_id and finding.seq for finding in findings)


@pytest.mark.parametrize("table", DEFINITIONS)
async def test_an_added_row_is_found(site: Site, tamperer: Tamperer, table: str) -> None:
    await tamperer.run(
        f"INSERT INTO {table} SELECT (jsonb_populate_record(r, $1)).*"
        f" FROM {table} AS r WHERE tenant_id = $2 LIMIT 1",
        orjson.dumps(ADDED[table]).decode(),
        tamperer.tenant_id,
    )
    findings = (await site.verify()).findings
    if table == "segment_snapshot":
        # It names the entry of the other one.
        assert of_definitions(findings, table) == {"definition_changed"}
    else:
        assert of_definitions(findings, table) == {
            "definition_changed" if table in PARTS else "definition_unrecorded"
        }


async def test_swapped_versions_of_rules_are_found(site: Site, tamperer: Tamperer) -> None:
    done = await tamperer.run(
        "UPDATE activation_rule_version AS v SET document = o.document"
        " FROM activation_rule_version AS o"
        " WHERE v.tenant_id = $1 AND o.tenant_id = $1 AND o.rule_id <> v.rule_id",
        tamperer.tenant_id,
    )
    assert done == "UPDATE 2"
    findings = (await site.verify()).findings
    assert [finding.what for finding in findings] == ["definition_changed"] * 2


@pytest.mark.parametrize("table", DEFINED)
async def test_a_row_whose_entry_was_made_anew_is_found_by_the_checkpoint(
    site: Site, tamperer: Tamperer, table: str
) -> None:
    (first,) = await tamperer.fetch(
        "SELECT min(s.seq) AS seq FROM audit_seal AS s JOIN audit_entry AS e"
        " USING (tenant_id, entry_id) WHERE s.tenant_id = $1 AND e.details ? 'digest'",
        tamperer.tenant_id,
    )
    await write_checkpoint(site, tamperer, first["seq"] - 1)
    column = "document" if table == "activation_rule_version" else "data"
    others = await tamperer.others(table)
    await tamperer.run(
        f"UPDATE {table} SET {column} = {others[column][0]} WHERE tenant_id = $1",
        tamperer.tenant_id,
    )
    digests: dict[str, str] = {}

    def take(lines: Sequence[bytes]) -> None:
        for line in lines:
            fields = fields_of(line)
            row = DEFINED[table](fields[4], fields[5:])
            digests[fields[2].decode()] = hashlib.sha256(row).hexdigest()

    async with snapshot_of(site.dsn_of(roles.AUDITOR)) as connection:
        await stream(connection, copied(table), (tamperer.tenant_id,), take)
    assert digests
    for entry_id, digest in digests.items():
        await tamperer.run(
            "UPDATE audit_entry SET details = jsonb_set(details, '{digest}', to_jsonb($2::text))"
            " WHERE entry_id = $1",
            entry_id,
            digest,
        )
    await rehash(site, tamperer, first["seq"])
    (found,) = (await site.verify()).findings
    assert (found.what, found.seq) == ("checkpoint_differs", first["seq"])
    site.checkpoint_file.unlink()
    assert (await site.verify()).findings == []


async def test_what_was_there_before_entries_defined_it_is_named_by_the_migration(
    site: Site, tamperer: Tamperer, connect: Connect
) -> None:
    await tamperer.run(
        "DELETE FROM audit_entry WHERE kind IN ('campaign_created', 'template_created')"
    )
    await tamperer.run("DELETE FROM audit_seal")
    await tamperer.run("DELETE FROM relay_watermark WHERE hop = 'seal'")
    site.checkpoint_file.unlink()
    await site.seal()
    assert {finding.what for finding in (await site.verify()).findings} == {"definition_unrecorded"}
    (file,) = MIGRATIONS_FOLDER.glob("*_definitions_found.sql")
    up, _, _ = file.read_text().partition("-- migrate:down")
    async with connect(roles.MIGRATE) as owner, owner.transaction():
        await owner.execute(up)
    await site.seal()
    assert (await site.verify()).findings == []
    await tamperer.run("DELETE FROM message_template")
    assert {finding.what for finding in (await site.verify()).findings} == {"definition_missing"}
