"""Checkpoints: signed, on the disk, and what a file is worth that somebody wrote into."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from uuid_utils.compat import uuid7

from libs import audit
from libs.audit.checkpoint import (
    Checkpoint,
    Head,
    append_checkpoints,
    load_signing_key,
    public_key_of,
    public_key_text,
    read_checkpoints,
)
from libs.rpc.errors import StartError
from libs.supervisor.audit import checkpoint_key_file, public_key_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.audit.site import Recorded, Site


async def append(site: Site, recorded: Recorded) -> None:
    async with site.ingest.tenant(recorded.tenant_id) as connection:
        await audit.append(
            connection,
            kind="tried",
            actor="a",
            call_id="",
            details={},
        )
    await site.seal()


async def test_heads_that_moved_are_written_and_signed(site: Site, recorded: Recorded) -> None:
    writer = site.checkpoints()
    # A new process writes every head, the next time only those that moved.
    assert await writer.write() == 2
    assert await writer.write() == 0
    await append(site, recorded)
    assert await writer.write() == 1
    *_, last = read_checkpoints([site.checkpoint_file])
    assert isinstance(last, Checkpoint)
    assert last.head.tenant_id == recorded.tenant_id
    assert last.is_signed_by(site.key.public_key())
    assert not last.is_signed_by(Ed25519PrivateKey.generate().public_key())
    assert (await site.verify()).findings == []


async def test_what_cannot_be_written_is_written_the_next_time(
    site: Site, recorded: Recorded
) -> None:
    writer = site.checkpoints()
    site.checkpoint_file.unlink()
    site.checkpoint_file.mkdir()
    with pytest.raises(OSError, match="directory"):
        await writer.write()
    site.checkpoint_file.rmdir()
    assert await writer.write() == 2


async def test_a_line_that_a_crash_tore_is_replaced(site: Site) -> None:
    whole = site.checkpoint_file.read_bytes()
    site.checkpoint_file.write_bytes(whole + b'{"hash":"00')
    assert (await site.verify()).findings == []
    await site.checkpoints().write()
    found = site.checkpoint_file.read_bytes()
    assert found.startswith(whole + b'{"hash":"')
    assert len(found.splitlines()) == len(whole.splitlines()) + 2
    assert (await site.verify()).findings == []


async def test_a_line_that_is_no_checkpoint_is_named(site: Site) -> None:
    with site.checkpoint_file.open("ab") as file:
        file.write(b"{}\n")
    (finding,) = (await site.verify()).findings
    line_count = len(site.checkpoint_file.read_bytes().splitlines())
    assert finding.what == "checkpoint_unreadable"
    assert finding.subject == f"{site.checkpoint_file}:{line_count}"


async def test_a_checkpoint_of_another_key_counts_for_nothing_and_is_named(
    site: Site, recorded: Recorded
) -> None:
    forged = Head(recorded.tenant_id, 3, bytes(32))
    append_checkpoints(site.checkpoint_file, [forged], Ed25519PrivateKey.generate())
    (finding,) = (await site.verify()).findings
    assert (finding.what, finding.seq) == ("checkpoint_unsigned", 3)


async def test_a_changed_line_is_not_signed_any_more(site: Site) -> None:
    *lines, last = site.checkpoint_file.read_text().splitlines()
    document = json.loads(last) | {"time": "2026-01-01T00:00:00Z"}
    site.checkpoint_file.write_text("\n".join([*lines, json.dumps(document)]) + "\n")
    (finding,) = (await site.verify()).findings
    assert finding.what == "checkpoint_unsigned"


async def test_the_checkpoint_of_a_chain_that_is_gone_is_found(site: Site) -> None:
    append_checkpoints(site.checkpoint_file, [Head(uuid7(), 1, bytes(32))], site.key)
    (finding,) = (await site.verify()).findings
    assert (finding.what, finding.seq) == ("checkpoint_differs", 1)
    assert "it ends at seal 0" in finding.detail


def test_the_key_is_made_once_and_its_public_half_told(tmp_path: Path) -> None:
    path = checkpoint_key_file(tmp_path)
    made = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert checkpoint_key_file(tmp_path).read_bytes() == made
    key = load_signing_key(path).public_key()
    assert public_key_of(public_key_file(tmp_path).read_text()) == key
    assert len(public_key_text(key)) == 64


@pytest.mark.parametrize("content", [None, b"no key", "other"])
def test_a_key_that_cannot_sign_stops_the_start(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "key.pem"
    if content == "other":
        other = X25519PrivateKey.generate()
        content = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartError, match=str(path)):
        load_signing_key(path)
