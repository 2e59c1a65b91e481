from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.sdk.scripted import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as running:
        yield running
