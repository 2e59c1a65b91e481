"""What each provider brings, and what all of them share: witness, faults, webhooks, counts."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from aiohttp import web

from libs.simulator.faults import FaultKind, FaultPlan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from pydantic import JsonValue

    from libs.simulator.clock import RuleClock
    from libs.simulator.faults import Fault
    from libs.simulator.settings import SimulatorSettings
    from libs.simulator.webhooks import Webhook, WebhookSender
    from libs.simulator.witness import Message, WitnessLog


class Provider(ABC):
    """One provider. A module of libs/simulator/providers ends with `PROVIDER = <its class>`."""

    name: ClassVar[str]
    # Where its addresses begin, unless the settings say otherwise.
    base_path: ClassVar[str]

    def __init__(self, world: World) -> None:
        self.world = world

    @abstractmethod
    def routes(self, base_path: str) -> Iterable[web.AbstractRouteDef]:
        """Its addresses."""

    @abstractmethod
    def set_account(self, account_id: str, document: JsonValue) -> None:
        """Take an account in, in place of the one of this id.

        Raises:
            pydantic.ValidationError: the document is no account of this provider.
        """

    @abstractmethod
    def forget_accounts(self) -> None:
        """Forget all accounts, and what was used of their quotas."""

    @asynccontextmanager
    async def listening(self, _settings: SimulatorSettings) -> AsyncIterator[None]:
        """Listen beside the HTTP addresses, for a provider that speaks something else.

        Raises:
            StartError: it cannot listen.
        """
        yield

    def addresses(self) -> Mapping[str, str]:
        """Where it listens beside the HTTP addresses, by what it speaks there."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A message that nothing speaks against, and what the provider does about it.

    `accept` books it and makes the answer; `refuse` makes the answer for a code; `receipt` makes
    the webhook, for an account that has an address for it. Only faults decide which of them runs.
    """

    message: Message
    message_id: str
    accept: Callable[[], web.Response]
    refuse: Callable[[int], web.Response]
    throttled_code: int
    receipt: Callable[[], Webhook | None]


@dataclass(slots=True)
class Counts:
    """What became of the messages of one provider; a fault counts beside what it left true."""

    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


class World:
    """What all providers share."""

    def __init__(self, clock: RuleClock, witness: WitnessLog, webhooks: WebhookSender) -> None:
        self.clock = clock
        self.faults = FaultPlan()
        self.webhooks = webhooks
        self.counts: defaultdict[str, Counts] = defaultdict(Counts)
        # Ends the answers that hang.
        self.stopping = asyncio.Event()
        self._witness = witness

    def count_refusal(self, provider: str, code: int) -> None:
        """Count a message that the provider did not accept."""
        self.counts[provider].refused[str(code)] += 1

    async def settle(self, request: web.Request, offer: Offer) -> web.StreamResponse:
        """Accept a message, witness it, tell its webhook and answer, unless a fault says otherwise.

        Nothing is awaited before the message is booked: a caller that leaves changes nothing.
        """
        message = offer.message
        fault = self.choose_fault(message)
        if fault is not None:
            match fault.kind:
                case FaultKind.SERVER_ERROR_BEFORE:
                    return _server_error(fault)
                case FaultKind.THROTTLED | FaultKind.ERROR_CODE:
                    code = fault.code or offer.throttled_code
                    self.count_refusal(message.provider, code)
                    return offer.refuse(code)
                case FaultKind.CONNECTION_LOST | FaultKind.MESSAGE_LOST:
                    return _hang_up(request, web.Response())
        self.record(message, offer.message_id)
        reply = offer.accept()
        self.tell(message, offer.receipt())
        return reply if fault is None else await self._disturb(request, reply, fault)

    def choose_fault(self, message: Message) -> Fault | None:
        """Find and count what happens to a message and its answer."""
        fault = self.faults.choose_for_reply(message)
        if fault is not None:
            self.counts[message.provider].faults[fault.kind.value] += 1
        return fault

    def record(self, message: Message, message_id: str) -> None:
        """Witness an acceptance. Raises OSError: it could not be, so there is none."""
        self._witness.record(message, message_id)
        self.counts[message.provider].accepted += 1

    def tell(self, message: Message, webhook: Webhook | None) -> None:
        """Send the webhook of an accepted message, or what faults leave of it."""
        if webhook is None:
            return
        fault = self.faults.choose_for_receipt(message)
        if fault is not None:
            self.counts[message.provider].faults[fault.kind.value] += 1
        self.webhooks.submit(webhook, fault)

    async def _disturb(
        self, request: web.Request, reply: web.Response, fault: Fault
    ) -> web.StreamResponse:
        match fault.kind:
            case FaultKind.SERVER_ERROR_AFTER:
                return _server_error(fault)
            case FaultKind.REPLY_TRUNCATED:
                assert isinstance(reply.body, bytes)
                reply.body = reply.body[: len(reply.body) // 2]
                return reply
            case FaultKind.REPLY_SLOW:
                await asyncio.sleep(fault.delay_seconds)
                return reply
            case FaultKind.REPLY_HUNG:
                await self.stopping.wait()
        return _hang_up(request, reply)


def _hang_up(request: web.Request, reply: web.Response) -> web.Response:
    # What is written to a closed connection goes nowhere.
    if request.transport is not None:
        request.transport.close()
    return reply


def _server_error(fault: Fault) -> web.Response:
    """Fail as a proxy in front of a provider does: without a word of the provider's own."""
    page = f"<html><body><h1>{fault.status} Server Error</h1></body></html>"
    return web.Response(status=fault.status, text=page, content_type="text/html")
