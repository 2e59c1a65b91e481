"""What the supervisor tells its processes and the issuer, without starting any."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from libs.auth.caller import INTERNAL_SCOPE
from libs.embedded.credentials import DEVELOPER, INTERNAL_CLIENTS, credential_keys_file
from libs.embedded.errors import EmbeddedError
from libs.embedded.process import free_port
from libs.issuer.settings import read_clients
from libs.simulator.settings import read_accounts
from libs.supervisor.stack import SCOPES, Stack
from libs.supervisor.state import simulator_accounts_file
from libs.supervisor.table import NO_ADDRESS
from services.dispatch.settings import DispatchSettings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Stack(tmp_path, free_ports=True).write_files()
    return tmp_path


def test_only_our_own_services_may_name_a_tenant_in_a_call(folder: Path) -> None:
    clients = read_clients(folder / "issuer" / "clients.json")
    assert set(clients) == {DEVELOPER, *INTERNAL_CLIENTS}
    for client_id in INTERNAL_CLIENTS:
        assert clients[client_id].scopes == [INTERNAL_SCOPE]
        assert clients[client_id].tenant_id is None
        assert not clients[client_id].any_tenant
    assert INTERNAL_SCOPE not in clients[DEVELOPER].scopes
    assert tuple(clients[DEVELOPER].scopes) == SCOPES


def test_the_scopes_of_all_services_can_be_had() -> None:
    for scope in ("leo.events.write", "leo.segments.read", "leo.decisions.write"):
        assert scope in SCOPES
    assert "leo.channels.admin" in SCOPES


def test_secrets_are_made_once_and_their_owner_alone_reads_them(folder: Path) -> None:
    names = ["credentials.json", "credential-keys.json"]
    before = [(folder / name).read_text() for name in names]
    for name in (*names, "issuer/clients.json", "simulator/accounts.json"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    Stack(folder, free_ports=True).write_files()
    assert [(folder / name).read_text() for name in names] == before


def test_dispatch_takes_the_key_ring(folder: Path) -> None:
    ring = DispatchSettings(credential_keys_file=credential_keys_file(folder)).key_ring()
    assert len(ring.key(ring.active_key_id)) == 32


def test_the_accounts_of_the_simulator_are_kept(folder: Path) -> None:
    path = simulator_accounts_file(folder)
    assert read_accounts(path) == {}
    path.write_text(json.dumps({"zalo-template": {}}))
    Stack(folder, free_ports=True).write_files()
    assert read_accounts(path) == {"zalo-template": {}}


def test_each_process_has_a_log_of_its_own(folder: Path) -> None:
    processes = Stack(folder, free_ports=True).processes
    logs = [process.log for process in processes.values()]
    assert len(set(logs)) == len(logs)


async def test_two_processes_at_one_address_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"127.0.0.1:{free_port()}"
    for name in ("ISSUER", "SIMULATOR", "INGEST", "DECISION", "DISPATCH", "EDGE"):
        monkeypatch.setenv(f"LEO_{name}_ADDRESS", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("LEO_INGEST_ADDRESS", address)
    monkeypatch.setenv("LEO_SEGMENT_ADDRESS", address)
    with pytest.raises(EmbeddedError, match=rf"at {address} \(LEO_SEGMENT_ADDRESS\)"):
        await Stack(tmp_path, free_ports=False).check_ports(0)


@pytest.mark.parametrize("address", ["7051", "127.0.0.1:70510", "no.such.host.invalid:7051"])
async def test_what_is_no_address_is_told_with_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("LEO_ISSUER_ADDRESS", address)
    with pytest.raises(EmbeddedError, match=rf"{address} \(LEO_ISSUER_ADDRESS\)"):
        await Stack(tmp_path, free_ports=False).check_ports(0)


def test_no_two_processes_get_the_same_free_port(folder: Path) -> None:
    for _ in range(50):
        processes = Stack(folder, free_ports=True).processes
        addresses = [p.address for p in processes.values() if p.address != NO_ADDRESS]
        assert len(addresses) == 9
        assert len(set(addresses)) == len(addresses)
