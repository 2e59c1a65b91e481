from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.contract.auth.processes import free_address, running, start

if TYPE_CHECKING:
    from pathlib import Path


IDENTITY = {
    "LEO_INTERNAL_CLIENT_ID": "leo-edge",
    "LEO_INTERNAL_CLIENT_SECRET": "a secret",
    "LEO_INTERNAL_TOKEN_URL": "http://127.0.0.1:1/token",
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_edge_ends_cleanly_when_it_is_told_to(
    tmp_path: Path, number: signal.Signals
) -> None:
    address = free_address()
    url = f"http://{address}/healthz"
    settings = IDENTITY | {"LEO_EDGE_ADDRESS": address}
    async with running("services.edge", tmp_path / "log", url, **settings) as process:
        process.send_signal(number)
        assert await process.wait() == 0


async def test_plaintext_beyond_loopback_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log"
    settings = IDENTITY | {"LEO_EDGE_ADDRESS": "0.0.0.0:7080"}
    process = await start("services.edge", log, **settings)
    assert await process.wait() == 1
    assert "LEO_EDGE_BEHIND_TLS_PROXY" in log.read_text()
