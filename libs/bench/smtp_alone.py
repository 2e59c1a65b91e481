"""What the SMTP library reaches by itself, beside which the email channel's rate is read."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Final
from uuid import uuid4

import aiosmtplib

from libs.embedded.process import free_ports
from libs.rpc.address import split_address
from libs.simulator.client import SimulatorClient
from libs.supervisor.service import ServiceProcess

CONNECTION_COUNT: Final = 32
_USER: Final = "alone"
_CONTENT: Final = (
    "From: hello@shop.test\r\nTo: {to}\r\nSubject: =?utf-8?b?Q+G6o20gxqFu?=\r\n"
    "Message-ID: <{id}@shop.test>\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    + "<p>Thank you for your order of 150,000 VND.</p>\r\n"
    * 20
)


async def measure_smtp_alone(message_count: int) -> float:
    """Messages a second by aiosmtplib alone, over kept connections, to a simulator of its own.

    A simulator of its own, because messages of nobody would unbalance the books of the stack.
    """
    with tempfile.TemporaryDirectory(prefix="leo-bench-smtp-") as folder:
        http_port, smtp_port = free_ports(2)
        address = f"127.0.0.1:{http_port}"
        simulator = ServiceProcess(
            "libs.simulator",
            "serve",
            address=address,
            probe="/_simulator/state",
            environment={
                "LEO_SIMULATOR_ADDRESS": address,
                "LEO_SIMULATOR_SMTP_ADDRESS": f"127.0.0.1:{smtp_port}",
                "LEO_SIMULATOR_WITNESS_FILE": f"{folder}/witness.jsonl",
            },
            log=Path(folder) / "simulator.log",
        )
        await simulator.start()
        try:
            return await _send(address, message_count)
        finally:
            await simulator.stop()


async def _send(simulator_address: str, message_count: int) -> float:
    password = uuid4().hex
    async with SimulatorClient(simulator_address) as simulator:
        await simulator.set_account("email", _USER, {"password": password})
        host, port = split_address(await simulator.smtp_address())
    clients = [
        aiosmtplib.SMTP(
            hostname=host, port=port, username=_USER, password=password, start_tls=False
        )
        for _ in range(CONNECTION_COUNT)
    ]
    await asyncio.gather(*(client.connect() for client in clients))
    waiting = iter(range(message_count))

    async def send(client: aiosmtplib.SMTP) -> None:
        for number in waiting:
            to = f"person-{number}@mail.example"
            await client.sendmail(
                "bounces@shop.test", [to], _CONTENT.format(to=to, id=uuid4()).encode()
            )

    began = time.monotonic()
    await asyncio.gather(*(send(client) for client in clients))
    taken = time.monotonic() - began
    await asyncio.gather(*(client.quit() for client in clients))
    return message_count / taken
