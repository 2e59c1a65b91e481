"""A running simulator as tests use it, an OA of it, and a receiver of its webhooks."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
from aiohttp import web

from tests.contract.auth.processes import free_address, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

PROVIDER = "zalo-template"
PHONE = "84901234567"
VIETNAM_OFFSET = timedelta(hours=7)
RECIPIENT_KEY = "a key of the tests"
PARAMETERS = [
    {"name": "customer", "length_max": 10},
    {"name": "amount", "format": "number"},
    {"name": "day", "format": "date", "required": False},
]
NUMBERS = itertools.count(1)


class OfficialAccount:
    """An OA that no other test knows, with two templates."""

    def __init__(self, **changes: Any) -> None:
        number = next(NUMBERS)
        self.account_id = f"2512{number}"
        self.app_id = f"1001{number}"
        self.token = f"token-{number}"
        self.secret = f"secret-{number}"
        self.document = {
            "app_id": self.app_id,
            "access_token": self.token,
            "oa_secret_key": self.secret,
            "templates": [
                {"template_id": "7895", "parameters": PARAMETERS},
                {"template_id": "7896", "promotional": True},
            ],
        } | changes


@dataclass(frozen=True, slots=True)
class Simulator:
    """One simulator process."""

    url: str
    witness_file: Path
    process: asyncio.subprocess.Process
    client: httpx.AsyncClient

    async def admin(self, method: str, path: str, document: Any = None) -> httpx.Response:
        return await self.client.request(method, f"{self.url}/_simulator/{path}", json=document)

    async def set_account(self, oa: OfficialAccount) -> OfficialAccount:
        path = f"accounts/{PROVIDER}/{oa.account_id}"
        (await self.admin("PUT", path, oa.document)).raise_for_status()
        return oa

    async def set_email_account(self, username: str, **document: Any) -> None:
        """Let the mail server know an account; its password is needed."""
        (await self.admin("PUT", f"accounts/email/{username}", document)).raise_for_status()

    async def smtp_port(self) -> int:
        """Where the mail server listens, on 127.0.0.1."""
        return int((await self.state())["addresses"]["smtp"].rpartition(":")[2])

    async def mail(self, reference: str) -> bytes:
        """The last message of a reference that the mail server took."""
        response = await self.client.get(f"{self.url}/email/messages/{reference}")
        return response.raise_for_status().content

    async def add_faults(self, *faults: dict[str, Any], seed: int = 0) -> None:
        document = {"seed": seed, "faults": faults}
        (await self.admin("POST", "faults", document)).raise_for_status()

    async def set_local_time(self, hour: int, *, days: int = 0) -> None:
        """Let it be the full hour in Vietnam now, by the provider's clock."""
        now = datetime.now(UTC) + VIETNAM_OFFSET
        then = now.replace(hour=hour, minute=0, second=0, microsecond=0) + timedelta(days=days)
        setting = {"offset_seconds": (then - now).total_seconds()}
        (await self.admin("PUT", "clock", setting)).raise_for_status()

    async def state(self) -> dict[str, Any]:
        state: dict[str, Any] = (await self.admin("GET", "state")).json()
        return state

    async def wait_for_state(self, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while not reached(state := await self.state()):  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0.01)
        return state

    async def send(self, oa: OfficialAccount, **changes: Any) -> httpx.Response:
        """Send a good message with `changes`; a change to None removes the field."""
        body = {
            "phone": PHONE,
            "template_id": "7895",
            "template_data": {"customer": "An", "amount": "100000"},
            "tracking_id": f"ord-{next(NUMBERS)}",
        } | changes
        body = {name: value for name, value in body.items() if value is not None}
        return await self.client.post(
            f"{self.url}/zalo/message/template", json=body, headers={"access_token": oa.token}
        )

    async def code(self, oa: OfficialAccount, **changes: Any) -> int:
        """Send, and give the code in the answer, which is 200 for all of them."""
        response = await self.send(oa, **changes)
        assert response.status_code == 200
        code: int = response.json()["error"]
        return code

    def witness(self) -> list[dict[str, Any]]:
        """The rows of the witness log, read without its own reader."""
        return [json.loads(line) for line in self.witness_file.read_text().splitlines()]


@asynccontextmanager
async def running_simulator(folder: Path, **environment: str) -> AsyncIterator[Simulator]:
    address = free_address()
    witness_file = folder / "witness.jsonl"
    environment = {
        "LEO_SIMULATOR_ADDRESS": address,
        "LEO_SIMULATOR_SMTP_ADDRESS": "127.0.0.1:0",
        "LEO_SIMULATOR_WITNESS_FILE": str(witness_file),
        "LEO_SIMULATOR_RECIPIENT_KEY": RECIPIENT_KEY,
        # The tries of a webhook are 3, 30, 90, 180 and 360 ms apart.
        "LEO_SIMULATOR_WEBHOOK_RETRY_SCALE": "0.0001",
    } | environment
    url = f"http://{address}"
    probe = f"{url}/_simulator/state"
    async with (
        running("libs.simulator", folder / "log", probe, **environment) as process,
        httpx.AsyncClient(timeout=30) as client,
    ):
        yield Simulator(url, witness_file, process, client)


@dataclass(frozen=True, slots=True)
class Received:
    """One webhook as it came."""

    body: bytes
    headers: dict[str, str]
    received_at: datetime

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

    @property
    def reference(self) -> str:
        reference: str = self.event["message"]["tracking_id"]
        return reference

    def is_signed_by(self, oa: OfficialAccount) -> bool:
        text = oa.app_id.encode() + self.body + self.event["timestamp"].encode()
        mac = hashlib.sha256(text + oa.secret.encode()).hexdigest()
        return self.headers["X-ZEvent-Signature"] == f"mac={mac}"


@dataclass(slots=True)
class Receiver:
    """Takes webhooks; the next answers may be scripted, the others are 200."""

    url: str = ""
    received: asyncio.Queue[Received] = field(default_factory=asyncio.Queue)
    answers: list[Callable[[], Awaitable[web.Response]]] = field(default_factory=list)

    async def next(self) -> Received:
        return await self.received.get()

    def answer_with(self, *statuses: int) -> None:
        async def answer(status: int) -> web.Response:
            return web.Response(status=status)

        self.answers += [lambda status=status: answer(status) for status in statuses]  # type: ignore[misc]

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.received.put_nowait(Received(body, dict(request.headers), datetime.now(UTC)))
        return await self.answers.pop(0)() if self.answers else web.Response()


@asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    application = web.Application()
    application.router.add_post("/webhooks/{provider}/{tenant_id}/{account_id}", receiver.take)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    receiver.url = f"http://127.0.0.1:{port}/webhooks/zalo/tenant/account"
    try:
        yield receiver
    finally:
        await runner.cleanup()
