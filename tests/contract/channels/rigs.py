"""What the tests of all channels need of each: its account at the simulator, and its words there.

A new channel adds one class here and its name in RIGS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol
from uuid import uuid4

from services.dispatch.channels import CHANNELS
from services.dispatch.channels.contract import Account, Message
from services.dispatch.domain.account import Credentials
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
    # What of a person its messages carry.
    personal: ClassVar[tuple[str, ...]]
    account: Account

    def message(self, **changes: Any) -> Message:
        """A message that the provider takes, with a reference of its own."""


class ZaloRig:
    channel: ClassVar[Channel] = CHANNELS["zalo-template"]
    refusal: ClassVar[dict[str, Any]] = {"kind": "error_code", "code": -118}
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
            "recipient": "+84901234567",
            "provider_template_id": "7895",
            "data": {"customer": "canary-An", "amount": "100000"},
            "reference": str(uuid4()),
        }
        return Message(**(values | changes))


# Each makes an account that no other test knows, at a simulator, with an address for its webhooks.
RIGS: Final[dict[str, Callable[[Simulator, str], Awaitable[Rig]]]] = {
    "zalo-template": ZaloRig.create
}
