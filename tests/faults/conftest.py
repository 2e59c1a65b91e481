"""A stack whose rounds are broken by schedules."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from libs.supervisor.running import find_or_start
from libs.torture.plan import SETTINGS
from libs.torture.rounds import Rounds
from libs.torture.tenant import make_tenant
from tests.faults.stack import running_stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(scope="module")
async def rounds() -> AsyncIterator[Rounds]:
    """A fresh stack with short leases, and one tenant on it."""
    async with running_stack(**SETTINGS) as stack, AsyncExitStack() as clients:
        running = find_or_start(stack.data_folder, say=print)
        yield Rounds(running, await make_tenant(running, clients, name="torture"))
