"""`leo backup`, `leo restore`, `leo resume`: real processes, and a provider that keeps count."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libs.backup.restoring import RESTORING
from libs.embedded.postgres import RESTORED
from libs.simulator.client import SimulatorClient
from libs.simulator.witness import count_by_reference
from libs.supervisor.audit import checkpoint_file
from libs.supervisor.running import find_or_start
from libs.torture.tenant import TortureTenant, make_tenant
from tests.faults.stack import LEO, Stack, running_stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from libs.supervisor.running import RunningStack

pytestmark = pytest.mark.timeout(300)

# In the provider's hands at once, so that the others wait.
AT_ONCE = 4
WAITING_COUNT = 8
PATIENCE_SECONDS = 30
# Longer than the test holds answers back, and no lease runs out meanwhile.
SETTINGS = {"LEO_MACHINE_LEASE": "PT2M"}


class Site:
    """A stack, its tenant, and a folder for backups."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.folder = stack.data_folder.parent
        self.clients = AsyncExitStack()

    async def up(self) -> None:
        """Start the stack, whose simulator then listens at another address."""
        await self.stack.leo("up", "--detach", "--free-ports")
        url = f"http://{self.running.state.address('simulator')}/zalo"
        await self.owner(
            "UPDATE channel_account SET settings = settings || jsonb_build_object('base_url', "
            f"'{url}'::text) WHERE channel = 'zalo-template'"
        )

    async def down(self) -> None:
        await self.clients.aclose()
        await self.stack.leo("down")

    @property
    def running(self) -> RunningStack:
        return find_or_start(self.stack.data_folder, say=lambda _: None)

    async def owner(self, statement: str) -> None:
        # The owner itself sees no tenant's rows.
        role = ("-c", "SET ROLE leo_migrate")
        await self.stack.leo("psql", "--as", "owner", *role, "-c", statement)

    async def tenant(self, name: str) -> TortureTenant:
        return await make_tenant(self.running, self.clients, name=name)

    async def told(self, *arguments: str) -> Any:
        return json.loads(await self.stack.leo(*arguments, "--json"))

    def run(self, *arguments: str, errors: bool = False) -> tuple[int, str]:
        """The exit status of a command, and what it said."""
        done = subprocess.run(
            [LEO, *arguments],
            env=os.environ | self.stack.settings | {"LEO_DATA": str(self.stack.data_folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, (done.stderr if errors else done.stdout).strip()

    def refused(self, *arguments: str) -> tuple[int, str]:
        """The exit status and the sentence of a command that is not carried out."""
        return self.run(*arguments, errors=True)

    async def states(self, tenant: str) -> dict[str, str]:
        """The state of each delivery of a tenant."""
        async with self.running.auditor() as auditor:
            rows = await auditor.fetch(
                "SELECT l.delivery_id::text AS delivery_id, l.state FROM delivery_log AS l "
                "JOIN tenant AS t USING (tenant_id) WHERE t.name = $1",
                tenant,
            )
        return {row["delivery_id"]: row["state"] for row in rows}

    async def wait_for(self, tenant: str, **counts: int) -> dict[str, str]:
        states: dict[str, str] = {}
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while Counter(states.values()) != counts:
                    states = await self.states(tenant)
        except TimeoutError:
            pytest.fail(f"{tenant}: {Counter(states.values())}, not {counts}")
        return states

    async def quiet(self) -> None:
        """Wait until the providers have told all that they have to tell."""
        async with SimulatorClient(self.running.state.address("simulator")) as simulator:
            while await simulator.waiting_webhook_count():  # noqa: ASYNC110 - elsewhere
                await asyncio.sleep(0.05)

    async def breaches(self) -> list[Any]:
        """What does not balance by the database's own equations, with the chain of the audit."""
        async with self.running.auditor() as auditor:
            await _until_sealed(auditor)
            return list(
                await auditor.fetch(
                    "SELECT equation, detail FROM ledger_breach('0')"
                    " UNION ALL SELECT equation, detail FROM v_audit_breach"
                )
            )

    def accepted(self) -> Counter[str]:
        """How often the provider accepted each delivery."""
        return count_by_reference(self.running.witness_file)


async def _until_sealed(auditor: Any) -> None:
    while await auditor.fetchval(  # noqa: ASYNC110 - in another process
        "SELECT EXISTS (SELECT FROM audit_entry AS e WHERE NOT EXISTS (SELECT FROM audit_seal AS s"
        " WHERE s.tenant_id = e.tenant_id AND s.entry_id = e.entry_id))"
    ):
        await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
async def site() -> AsyncIterator[Site]:
    async with running_stack(**SETTINGS) as stack:
        site = Site(stack)
        yield site
        await site.clients.aclose()


async def send(tenant: TortureTenant, source: str, count: int) -> None:
    # Every third event of a tenant takes the same way first.
    events = [tenant.event(source, 3 * number) for number in range(count)]
    await tenant.client.ingest.batch_ingest_events(events)


@dataclass(frozen=True)
class Kept:
    """A backup of a tenant some of whose messages were in the provider's hands.

    Attributes:
        states: of its deliveries then.
        counted: how often the provider had accepted each, when the restore began.
    """

    path: Path
    states: dict[str, str]
    counted: Counter[str]

    def names(self, state: str) -> set[str]:
        return {name for name, each in self.states.items() if each == state}

    def restored(self) -> dict[str, str]:
        """The states after a restore."""
        return {
            name: "outcome_unknown" if state == "sending" else state
            for name, state in self.states.items()
        }


async def keep(site: Site) -> Kept:
    """Back up while messages are in the provider's hands and others wait; then go on, and stop."""
    shop = await site.tenant("hoa-sen")
    other = await site.tenant("sen-da")
    await site.owner(f"UPDATE channel_account SET concurrent_send_count_max = {AT_ONCE}")
    await send(shop, "before", 3)
    await site.wait_for("hoa-sen", accepted=3)
    await site.stack.leo("tenant", "suspend", "sen-da")
    await send(other, "suspended", 1)
    await site.wait_for("sen-da", pending=1)
    async with SimulatorClient(site.running.state.address("simulator")) as simulator:
        await simulator.set_faults([{"kind": "reply_hung"}, {"kind": "receipt_dropped"}])
    await send(shop, "meanwhile", AT_ONCE + WAITING_COUNT)
    states = await site.wait_for("hoa-sen", sending=AT_ONCE, pending=WAITING_COUNT, accepted=3)
    taken = await site.told("backup", str(site.folder / "backup"))
    assert await site.states("hoa-sen") == states
    assert taken["byte_count"] > 0
    path = Path(taken["path"])
    assert not os.stat(path).st_mode & 0o077  # noqa: PTH116 - pathlib's is taken for blocking

    # What waited is sent, the answers to the others are lost, and there is more.
    site.stack.signal("simulator", signal.SIGKILL)
    await site.stack.wait_healthy("simulator", restarts=1)
    await site.wait_for("hoa-sen", accepted=3 + WAITING_COUNT, outcome_unknown=AT_ONCE)
    await send(shop, "after", 2)
    await site.wait_for("hoa-sen", accepted=5 + WAITING_COUNT, outcome_unknown=AT_ONCE)
    await site.quiet()
    counted = site.accepted()
    # Checkpoints are signed every minute, and when the process that signs them starts.
    site.stack.signal("decision-work", signal.SIGKILL)
    while not checkpoint_file(site.stack.data_folder).exists():  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await site.down()
    return Kept(path, states, counted)


async def test_nothing_is_sent_after_a_restore_until_somebody_says_so(site: Site) -> None:
    kept = await keep(site)
    restored = await site.told("restore", str(kept.path), "--yes")
    assert {
        each["name"]: (each["is_held"], each["in_doubt_count"], each["waiting_count"])
        for each in restored["tenants"]
    } == {"hoa-sen": (True, AT_ONCE, WAITING_COUNT), "sen-da": (False, 0, 1)}
    assert restored["problems"] == []

    await site.up()
    assert await site.states("hoa-sen") == kept.restored()
    # A tenant that is not held back is served meanwhile: the workers look, and leave the others.
    fresh = await site.tenant("hoa-mai")
    await send(fresh, "fresh", 2)
    await site.wait_for("hoa-mai", accepted=2)
    assert await site.states("hoa-sen") == kept.restored()
    assert {name: site.accepted()[name] for name in kept.counted} == kept.counted
    assert await site.breaches() == []
    await check_audit(site, restored["checkpoints_before"])

    await check_resume(site)
    await site.wait_for("hoa-sen", accepted=3 + WAITING_COUNT, outcome_unknown=AT_ONCE)
    assert await site.breaches() == []
    # What had been sent after the backup went out again, and nothing else.
    again = {name: site.accepted()[name] - count for name, count in kept.counted.items()}
    assert {name for name, count in again.items() if count} == kept.names("pending")
    assert (await site.told("tenant", "show", "sen-da"))["state"] == "suspended"

    # The same once more.
    await site.down()
    repeated = await site.told("restore", str(kept.path), "--yes")
    assert repeated["tenants"] == restored["tenants"]
    await site.up()
    assert await site.states("hoa-sen") == kept.restored()


async def check_audit(site: Site, checkpoints_before: str) -> None:
    """The chains verify and tell of the restore; to the checkpoints of before they are others."""
    verified = await site.told("audit", "verify")
    assert verified["verified"], verified
    assert verified["checkpoints"] > 0
    entries = (await site.told("audit", "show", "--kind", "database_restored"))["entries"]
    assert {entry["tenant"] for entry in entries} == {"hoa-sen", "sen-da"}
    key = (site.stack.data_folder / "audit" / "checkpoint-key.pub").read_text().strip()
    before = ("--checkpoints", checkpoints_before, "--public-key", key)
    status, told = await asyncio.to_thread(site.run, "audit", "verify", "--json", *before)
    assert status == 1
    findings = json.loads(told)["findings"]
    assert {finding["what"] for finding in findings} == {"checkpoint_differs"}


async def check_resume(site: Site) -> None:
    """One tenant is held back, and goes on; another one was suspended by somebody before."""
    plan = await site.told("resume", "--dry-run")
    assert [(each["name"], each["waiting_count"]) for each in plan] == [("hoa-sen", WAITING_COUNT)]
    status, sentence = site.refused("resume", "sen-da")
    assert (status, "no restore holds back" in sentence) == (1, True)
    assert "What waits is sent" in await site.stack.leo("resume")
    assert await site.told("resume") == []


async def test_what_is_no_good_backup_is_refused_and_nothing_is_replaced(site: Site) -> None:
    backup = site.folder / "good"
    await site.stack.leo("backup", str(backup))
    assert site.refused("backup", str(backup))[0] == 1
    assert "is not replaced" in site.refused("backup", str(backup))[1]
    missing = site.folder / "missing" / "backup"
    assert site.refused("backup", str(missing)) == (
        1,
        f"{missing.parent} cannot be used: No such file or directory",
    )
    inside = site.stack.data_folder / "postgres" / "backup"
    assert "lies within the database" in site.refused("backup", str(inside))[1]
    unfinished = site.folder / "other.unfinished"
    unfinished.mkdir()
    assert "another backup is being made" in site.refused("backup", str(site.folder / "other"))[1]
    assert "leo down" in site.refused("restore", str(backup), "--yes")[1]
    states = await site.states("hoa-sen")
    await site.down()
    assert site.refused("backup", str(site.folder / "down"))[1].startswith("no stack is running")
    assert "--yes" in site.refused("restore", str(backup))[1]
    for word, harm in HARMS.items():
        copy = site.folder / "harmed"
        shutil.copytree(backup, copy)
        harm(copy)
        status, sentence = site.refused("restore", str(copy), "--yes")
        assert (status, word in sentence) == (1, True), sentence
        shutil.rmtree(copy)
    assert not (site.stack.data_folder / RESTORING).exists()
    await site.up()
    assert await site.states("hoa-sen") == states


def changed(**values: Any) -> Callable[[Path], None]:
    """Another value in the record of a backup."""

    def change(backup: Path) -> None:
        path = backup / "backup.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def flip(backup: Path) -> None:
    """One byte of the largest file of the database."""
    path = max((backup / "database" / "base").rglob("*"), key=lambda each: each.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


HARMS: dict[str, Callable[[Path], None]] = {
    "is damaged": flip,
    "cannot be understood": lambda backup: (backup / "backup.json").write_text("{"),  # type: ignore[dict-item]
    "migration 299912310001": changed(schema_versions=["202611250001", "299912310001"]),
    "make room": changed(byte_count=10**18),
    "backup_manifest": lambda backup: (backup / "database" / "backup_manifest").unlink(),
}


async def test_a_restore_that_is_killed_leaves_the_database_of_before(site: Site) -> None:
    backup = site.folder / "killed"
    await site.stack.leo("backup", str(backup))
    fresh = await site.tenant("hoa-lan")
    await send(fresh, "later", 1)
    await site.wait_for("hoa-lan", accepted=1)
    await site.down()
    data = site.stack.data_folder
    for there in (data / RESTORING / "PG_VERSION", data / RESTORING / "postmaster.pid"):
        process = await asyncio.create_subprocess_exec(
            *(LEO, "restore", str(backup), "--yes"),
            env=os.environ | {"LEO_DATA": str(data)},
            stdout=subprocess.DEVNULL,
        )
        while not there.exists():  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0.001)
        process.kill()
        await process.wait()
    await site.up()
    assert Counter((await site.states("hoa-lan")).values()) == {"accepted": 1}
    await site.down()
    # Between the two renames at its end, it is whole, and the next start puts it in its place.
    (data / "postgres").rename(data / RESTORED)
    await site.up()
    assert Counter((await site.states("hoa-lan")).values()) == {"accepted": 1}
    await site.down()
    await site.told("restore", str(backup), "--yes")
    await site.up()
    assert await site.states("hoa-lan") == {}


async def test_a_backup_goes_into_a_fresh_data_folder_and_says_which_keys_it_lacks(
    site: Site,
) -> None:
    backup = site.folder / "moved"
    await site.stack.leo("backup", str(backup))
    moved = Site(Stack(site.folder / "fresh", site.stack.settings))
    restored = await moved.told("restore", str(backup))
    assert restored["before"] is None
    assert len(restored["problems"]) == 2
    shutil.rmtree(moved.stack.data_folder)
    moved.stack.data_folder.mkdir(mode=0o711)
    for name in ("credential-keys.json", "unsubscribe-keys.json"):
        shutil.copy(site.stack.data_folder / name, moved.stack.data_folder / name)
    assert (await moved.told("restore", str(backup)))["problems"] == []
    try:
        await moved.up()
        assert await moved.states("hoa-sen") == await site.states("hoa-sen")
    finally:
        with suppress(AssertionError):
            await moved.down()
