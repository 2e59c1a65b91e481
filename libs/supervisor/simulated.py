"""Accounts at the simulated providers of a development stack."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from libs.embedded.credentials import write_secret
from libs.simulator.client import SimulatorClient
from libs.supervisor.state import simulator_accounts_file

if TYPE_CHECKING:
    from libs.supervisor.running import RunningStack


async def make_known(
    stack: RunningStack, provider: str, account_id: str, document: dict[str, Any]
) -> None:
    """Let the simulator know an account, after its next restart as well."""
    async with SimulatorClient(stack.state.address("simulator")) as simulator:
        await simulator.set_account(provider, account_id, document)
    path = simulator_accounts_file(stack.folder)
    accounts = json.loads(path.read_text(encoding="utf-8"))
    accounts.setdefault(provider, {})[account_id] = document
    write_secret(path, json.dumps(accounts, indent=2))


def secret_of(text: str) -> str:
    """A secret that is the same for the same text: it opens the simulator alone."""
    return hashlib.sha256(text.encode()).hexdigest()
