"""Sealing: within the order of appearance, by one at a time, and whole wherever it is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from uuid_utils.compat import uuid7

from libs import audit
from libs.postgres import roles
from libs.postgres.migrations import bootstrap, migrate_up
from libs.rpc.errors import UnavailableError
from services.decision.sealer import Sealer, sealer, sealers_of
from services.decision.settings import AuditSettings
from tests.conftest import passwords_of
from tests.contract.audit.site import opened

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from libs.embedded import EmbeddedPostgres
    from tests.contract.audit.site import Recorded, Site


async def append(connection: Any, kind: str = "tried") -> UUID:
    return await audit.append(connection, kind=kind, actor="a", call_id="", details={})


async def chain(migrate: Any, tenant_id: UUID) -> list[UUID]:
    """The entries of a tenant in the order of its chain."""
    await migrate.execute(f"SET ROLE {roles.MIGRATE}")
    rows = await migrate.fetch(
        "SELECT seq, entry_id FROM audit_seal WHERE tenant_id = $1 ORDER BY seq", tenant_id
    )
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    return [row["entry_id"] for row in rows]


async def test_an_entry_that_commits_late_is_sealed_behind_what_was_sealed_before(
    site: Site, migrate: Any, recorded: Recorded
) -> None:
    tenant_id = recorded.tenant_id
    before = await chain(migrate, tenant_id)
    async with site.ingest.tenant(tenant_id) as slow:
        late = await append(slow)
        async with site.decision.tenant(tenant_id) as quick:
            early = await append(quick)
        await site.seal()
        assert await chain(migrate, tenant_id) == [*before, early]
    await site.seal()
    assert await chain(migrate, tenant_id) == [*before, early, late]
    # Ids do not tell the order: this one's is the older.
    assert late.int < early.int
    assert (await site.verify()).findings == []


async def test_a_tenant_at_rest_costs_nothing(site: Site, recorded: Recorded) -> None:
    await site.seal()
    # Once nothing runs any more that may have written in front of the watermark.
    await site.seal()
    turns: list[UUID] = []

    class Counted(Sealer):
        async def seal(self, tenant_id: UUID) -> int:
            turns.append(tenant_id)
            return await super().seal(tenant_id)

    assert not await Counted(site.decision, site.finder).look()
    assert turns == []
    async with site.ingest.tenant(recorded.tenant_id) as connection:
        await append(connection)
    await Counted(site.decision, site.finder).look()
    assert turns == [recorded.tenant_id]


async def test_one_sealer_works_for_a_tenant_at_a_time(site: Site, recorded: Recorded) -> None:
    tenant_id = recorded.tenant_id
    async with site.ingest.tenant(tenant_id) as connection:
        await append(connection)
    async with site.decision.tenant(tenant_id) as other:
        assert await sealer._QUERIES.try_lock(other, tenant_id=tenant_id)
        assert await site.sealer().seal(tenant_id) == 0
        # Nobody else asks for the lock: entries are written meanwhile.
        async with site.ingest.tenant(tenant_id) as connection:
            await append(connection)
    assert await site.sealer().seal(tenant_id) == 2


async def test_what_does_not_fit_into_one_turn_is_sealed_in_the_next(
    site: Site, migrate: Any, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealer, "SEAL_COUNT_MAX", 3)
    before = await chain(migrate, recorded.tenant_id)
    written = []
    # Of one transaction, and of one each.
    async with site.ingest.tenant(recorded.tenant_id) as connection:
        written += [await append(connection) for _ in range(4)]
    for _ in range(4):
        async with site.ingest.tenant(recorded.tenant_id) as connection:
            written.append(await append(connection))
    await site.seal()
    assert await chain(migrate, recorded.tenant_id) == before + written
    assert (await site.verify()).findings == []


async def test_several_sealers_at_once_make_one_chain(
    site: Site, migrate: Any, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealer, "SEAL_COUNT_MAX", 7)
    tenant_id = recorded.tenant_id
    before = len(await chain(migrate, tenant_id))

    async def write() -> None:
        for _ in range(60):
            async with site.ingest.tenant(tenant_id) as connection:
                await append(connection)

    async def seal(writing: asyncio.Task[None]) -> None:
        while not writing.done():
            await site.sealer().look()

    writing = asyncio.create_task(write())
    await asyncio.gather(writing, *(seal(writing) for _ in range(4)))
    await site.seal()
    assert len(await chain(migrate, tenant_id)) == before + 60
    assert (await site.verify()).findings == []


@pytest.fixture
async def entries_of_before(migrate: Any) -> None:
    """As the migration finds them."""
    await migrate.execute("ALTER TABLE audit_entry DISABLE TRIGGER append_only")
    await migrate.execute(f"SET ROLE {roles.MIGRATE}")
    await migrate.execute("UPDATE audit_entry SET transaction_id = '0'")
    await migrate.execute("DELETE FROM relay_watermark")


async def test_entries_from_before_the_chain_are_sealed(
    site: Site, migrate: Any, recorded: Recorded, entries_of_before: None
) -> None:
    await migrate.execute("RESET ROLE")
    await migrate.execute("ALTER TABLE audit_seal DISABLE TRIGGER append_only")
    await migrate.execute(f"SET ROLE {roles.MIGRATE}")
    await migrate.execute("DELETE FROM audit_seal")
    count = await migrate.fetchval("SELECT count(*) FROM audit_entry")
    site.checkpoint_file.unlink()
    await site.seal()
    found = await site.verify()
    assert (found.findings, found.checked.seals) == ([], count)


async def breaches(migrate: Any) -> list[Any]:
    await migrate.execute(f"SET ROLE {roles.MIGRATE}")
    rows: list[Any] = await migrate.fetch("SELECT * FROM v_audit_breach")
    return rows


async def test_an_entry_unsealed_for_five_seconds_is_a_breach(
    site: Site, migrate: Any, recorded: Recorded
) -> None:
    assert await breaches(migrate) == []
    async with site.ingest.tenant(recorded.tenant_id) as connection:
        entry_id = await append(connection)
    assert await breaches(migrate) == []
    found = await site.verify()
    assert (found.findings, found.checked.unsealed) == ([], 1)
    # Five seconds pass.
    await migrate.execute("RESET ROLE")
    await migrate.execute(
        "CREATE OR REPLACE FUNCTION leo_now() RETURNS timestamptz LANGUAGE sql STABLE"
        " RETURN now() + interval '6 seconds'"
    )
    (breach,) = await breaches(migrate)
    assert tuple(breach)[:3] == ("A10", recorded.tenant_id, entry_id)
    (finding,) = (await site.verify()).findings
    assert (finding.what, finding.entry_id) == ("entry_unsealed", str(entry_id))
    await site.seal()
    assert await breaches(migrate) == []
    assert (await site.verify()).findings == []


async def test_details_without_a_canonical_form_are_refused_where_they_are_written(
    site: Site, recorded: Recorded
) -> None:
    async with site.ingest.tenant(recorded.tenant_id) as connection:
        with pytest.raises(ValueError, match="canonical form"):
            await audit.append(
                connection,
                kind="tried",
                actor="a",
                call_id="",
                details={"count": 2**60},
            )


def process_settings(site: Site) -> dict[str, str]:
    return {
        "LEO_POSTGRES_DSN": site.dsn_of(roles.DECISION),
        "LEO_POSTGRES_FINDER_DSN": site.dsn_of(roles.FINDER),
        "LEO_DECISION_DISPATCH_ADDRESS": "127.0.0.1:1",
        "LEO_INTERNAL_CLIENT_ID": "leo-decision",
        "LEO_INTERNAL_CLIENT_SECRET": "secret",
        "LEO_INTERNAL_TOKEN_URL": "http://127.0.0.1:1/token",
    }


async def test_a_killed_process_leaves_a_chain_that_verifies(
    site: Site, migrate: Any, recorded: Recorded
) -> None:
    tenant_id = recorded.tenant_id
    stopped = False

    async def write() -> None:
        while not stopped:
            async with site.ingest.tenant(tenant_id) as connection:
                await append(connection)

    writing = asyncio.create_task(write())
    sealed = len(await chain(migrate, tenant_id))
    for _ in range(4):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.decision", "work"),
            env=os.environ | process_settings(site),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        # Until it has sealed something, and then at any moment.
        while (now := len(await chain(migrate, tenant_id))) == sealed:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        sealed = now
        process.send_signal(signal.SIGKILL)
        await process.wait()
        assert {found.what for found in (await site.verify()).findings} <= {"entry_unsealed"}
    stopped = True
    await writing
    await site.seal()
    assert (await site.verify()).findings == []


async def test_a_sealer_survives_a_restart_of_the_database(
    lone_postgres: EmbeddedPostgres, signing_key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    await bootstrap(lone_postgres.superuser_dsn("postgres"), passwords_of(lone_postgres), "leo")
    await migrate_up(lone_postgres.dsn(roles.MIGRATE, "leo"))
    tenant_id: UUID = uuid7()

    def dsn_of(role: str) -> str:
        return lone_postgres.dsn(role, "leo")

    async with opened(dsn_of, signing_key, tmp_path / "checkpoints.jsonl") as site:
        async with site.ingest.tenant(tenant_id, must_exist=False) as connection:
            await connection.execute(
                "INSERT INTO tenant (tenant_id, name, time_zone, state)"
                " VALUES ($1, 't', 'UTC', 'active')",
                tenant_id,
            )
            await append(connection)
        running_sealer = asyncio.create_task(site.sealer().run())
        while (await site.verify()).checked.seals < 1:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await lone_postgres.kill()
        with pytest.raises(UnavailableError):
            await site.sealer().look()
        await lone_postgres.start()
        async with site.ingest.tenant(tenant_id) as connection:
            await append(connection)
        while (await site.verify()).checked.seals < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        running_sealer.cancel()
        assert (await site.verify()).findings == []


def test_settings_of_checkpoints_go_together(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="LEO_AUDIT_CHECKPOINT_KEY_FILE go together"):
        AuditSettings(checkpoint_file=tmp_path / "checkpoints.jsonl")


async def test_sealing_is_not_started_where_the_settings_say_so(site: Site) -> None:
    assert sealers_of(site.decision, site.finder, AuditSettings(seal=False)) == []
    (worker,) = sealers_of(site.decision, site.finder, AuditSettings())
    assert isinstance(worker, Sealer)
