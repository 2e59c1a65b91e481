"""What the tests of all channels need of each: its account at the simulator, and its words there.

A new channel adds one class here and its name in RIGS.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol
from uuid import uuid4

from services.dispatch.channels import CHANNELS
from services.dispatch.channels.contract import Account, Message
from services.dispatch.domain.account import Credentials
from tests.contract.auth.processes import free_address
from tests.contract.simulator.simulators import OfficialAccount

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.dispatch.channels.contract import Channel
    from tests.contract.simulator.simulators import Simulator

# Whatever is secret or personal holds this, so that a search for it finds all of them.
CANARY: Final = "canary"


class Rig(Protocol):
    """A channel with an account at the simulator."""

    channel: ClassVar[Channel]
    # A fault after which the provider refuses this message for good.
    refusal: ClassVar[dict[str, Any]]
    # Kind and class of the result where the provider's server fails before it took the message.
    server_error: ClassVar[tuple[str, str]]
    # What a receipt says of a message of told().
    told_kind: ClassVar[str]
    # What of a person its messages carry.
    personal: ClassVar[tuple[str, ...]]
    account: Account

    def message(self, **changes: Any) -> Message:
        """A message that the provider takes, with a reference of its own."""

    def told(self) -> Message:
        """The same, of which the provider sends a receipt."""

    def away(self) -> Account:
        """The account, at an address where nobody listens."""

    def forged(self, body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        """A receipt that the provider did not make like this."""


class ZaloRig:
    channel: ClassVar[Channel] = CHANNELS["zalo-template"]
    refusal: ClassVar[dict[str, Any]] = {"kind": "error_code", "code": -118}
    server_error: ClassVar[tuple[str, str]] = ("unknown", "AMB")
    told_kind: ClassVar[str] = "delivered"
    personal: ClassVar[tuple[str, ...]] = ("84901234567", "canary-An")

    def __init__(self, simulator: Simulator, oa: OfficialAccount) -> None:
        self.oa = oa
        self.account = Account(
            settings={"base_url": f"{simulator.url}/zalo", "app_id": oa.app_id},
            credentials=Credentials({"access_token": oa.token, "oa_secret_key": oa.secret}),
        )

    @classmethod
    async def create(cls, simulator: Simulator, webhook_url: str = "", **changes: Any) -> ZaloRig:
        """An Official Account with two templates; its secrets hold CANARY."""
        oa = OfficialAccount(**({"webhook_url": webhook_url} if webhook_url else {}) | changes)
        oa.token = oa.document["access_token"] = f"{CANARY}-{oa.token}"
        oa.secret = oa.document["oa_secret_key"] = f"{CANARY}-{oa.secret}"
        return cls(simulator, await simulator.set_account(oa))

    def message(self, **changes: Any) -> Message:
        values: dict[str, Any] = {
            "purpose": "marketing",
            "recipient": "+84901234567",
            "provider_template_id": "7895",
            "data": {"customer": "canary-An", "amount": "100000"},
            "reference": str(uuid4()),
            "unsubscribe_url": "",
        }
        return Message(**(values | changes))

    def told(self) -> Message:
        return self.message()

    def away(self) -> Account:
        settings = {**self.account.settings, "base_url": f"http://{free_address()}"}
        return replace(self.account, settings=settings)

    def forged(self, body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        return body + b" ", headers


class EmailRig:
    channel: ClassVar[Channel] = CHANNELS["email"]
    refusal: ClassVar[dict[str, Any]] = {"kind": "error_code", "code": 550}
    server_error: ClassVar[tuple[str, str]] = ("retry_at", "R")
    told_kind: ClassVar[str] = "bounced"
    personal: ClassVar[tuple[str, ...]] = ("an.nguyen", "canary-An")

    def __init__(self, account: Account) -> None:
        self.account = account

    @classmethod
    async def create(cls, simulator: Simulator, webhook_url: str = "", **changes: str) -> EmailRig:
        """An account at the mail server; its secrets hold CANARY."""
        username = f"shop-{uuid4().hex[:8]}"
        password = f"{CANARY}-password-{username}"
        webhook = {"webhook_url": webhook_url} if webhook_url else {}
        await simulator.set_email_account(username, password=password, **webhook)
        settings = {
            "host": "127.0.0.1",
            "port": str(await simulator.smtp_port()),
            "security": "starttls",
            "certificate_check": "off",
            "username": username,
            "from_address": "hello@shop.test",
            "from_name": "Cửa hàng Sách",
            "return_path": "bounces@shop.test",
        }
        credentials = {"password": password, "bounce_key": f"{CANARY}-bounce-{username}"}
        return cls(Account(settings=settings | changes, credentials=Credentials(credentials)))

    def message(self, **changes: Any) -> Message:
        values: dict[str, Any] = {
            "purpose": "marketing",
            "recipient": "an.nguyen@person.test",
            "provider_template_id": "",
            "data": {"subject": "Chào canary-An", "html": "<p>Cảm ơn canary-An!</p>"},
            "reference": str(uuid4()),
            "unsubscribe_url": "https://leo.shop.test/unsubscribe/canary",
        }
        return Message(**(values | changes))

    def told(self) -> Message:
        return self.message(recipient="bounces.an.nguyen@person.test")

    def away(self) -> Account:
        port = free_address().rpartition(":")[2]
        return replace(self.account, settings={**self.account.settings, "port": port})

    def forged(self, body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        """The report of another delivery, of which nobody has seen the return path."""
        return_path = headers["x-original-to"]
        other = return_path.replace("bounces+", "bounces+a" if "+b" in return_path else "bounces+b")
        other = other[:9] + other[10:]
        return body.replace(return_path.encode(), other.encode()), {"x-original-to": other}


# Each makes an account that no other test knows, at a simulator, with an address for its webhooks.
RIGS: Final[dict[str, Callable[[Simulator, str], Awaitable[Rig]]]] = {
    "email": EmailRig.create,
    "zalo-template": ZaloRig.create,
}
