from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.contract.auth.processes import free_address, running, start

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_edge_ends_cleanly_when_it_is_told_to(
    tmp_path: Path, number: signal.Signals
) -> None:
    address = free_address()
    url = f"http://{address}/healthz"
    async with running("services.edge", tmp_path / "log", url, LEO_EDGE_ADDRESS=address) as process:
        process.send_signal(number)
        assert await process.wait() == 0


async def test_plaintext_beyond_loopback_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = await start("services.edge", log, LEO_EDGE_ADDRESS="0.0.0.0:7080")
    assert await process.wait() == 1
    assert "LEO_EDGE_BEHIND_TLS_PROXY" in log.read_text()
