from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libs.http.client import HttpClient
from libs.smtp.client import SmtpClient
from services.dispatch.channels.contract import Clients
from tests.contract.channels.rigs import RIGS
from tests.contract.simulator.simulators import running_receiver, running_simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.channels.rigs import Rig
    from tests.contract.simulator.simulators import Receiver, Simulator


@pytest.fixture(scope="session")
async def simulator_process(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Simulator]:
    async with running_simulator(tmp_path_factory.mktemp("simulator")) as simulator:
        yield simulator


@pytest.fixture
async def simulator(simulator_process: Simulator) -> Simulator:
    """The simulator as it is at its start, but for what the witness log holds."""
    (await simulator_process.admin("POST", "reset")).raise_for_status()
    return simulator_process


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as receiver:
        yield receiver


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    async with (
        HttpClient(private_addresses=True) as http,
        SmtpClient(private_addresses=True) as smtp,
    ):
        yield Clients(http=http, smtp=smtp)


@pytest.fixture
def client(clients: Clients) -> HttpClient:
    return clients.http


@pytest.fixture(params=RIGS)
async def rig(request: pytest.FixtureRequest, simulator: Simulator, receiver: Receiver) -> Rig:
    return await RIGS[request.param](simulator, receiver.url)
