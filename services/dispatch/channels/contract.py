"""What a channel is to dispatch: what it can do, how it sends, how it reads receipts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta
    from uuid import UUID

    from libs.fields import Fields
    from libs.http.client import HttpClient
    from libs.smtp.client import SmtpClient
    from services.dispatch.domain.account import Credentials, NewAccount
    from services.dispatch.domain.delivery import ReceiptKind
    from services.dispatch.domain.template import TextRule

SendKind = Literal["accepted", "rejected", "retry_at", "unknown"]
ProviderClass = Literal["OK", "R", "RL", "Q", "D", "T", "P", "W", "C", "AMB"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the provider offers; how often and when the machine sends follows from this alone.

    Attributes:
        idempotency: how long the provider knows our key again; None where it takes none.
        echo_window: how long after a send a receipt may still name it; None without receipts
            that carry our reference.
        lookup: whether it can be asked what became of a reference.
        screen_dedupe: whether a repeated message takes the place of the first on the device.
    """

    idempotency: timedelta | None
    echo_window: timedelta | None
    lookup: bool
    screen_dedupe: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """What channels reach their providers with. The worker owns them, with all connections."""

    http: HttpClient
    smtp: SmtpClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, ready to go.

    Attributes:
        purpose: what it is for, such as "marketing".
        recipient: an address of the channel's kind, such as "+84901234567". Never printed.
        provider_template_id: the provider's name of the template, where it has any.
        data: rendered texts by name. Never printed.
        reference: the delivery's id, which receipts bring back.
        unsubscribe_url: where the person withdraws consent to this channel and purpose; empty
            where there is no such door. Never printed.
    """

    purpose: str
    recipient: str
    provider_template_id: str
    data: Mapping[str, str]
    reference: str
    unsubscribe_url: str

    def __repr__(self) -> str:
        return f"<message {self.reference}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account at the provider with its secrets open; they do not show in its repr."""

    settings: Mapping[str, str]
    credentials: Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class SendResult:
    """What became of one call to the provider.

    Attributes:
        kind: accepted; rejected, a definite no for good; retry_at, a definite no for now; or
            unknown, where the provider may have accepted it.
        provider_class: what the provider's answer means, in the words of all channels.
        code: the provider's own code, or what happened in place of an answer.
        provider_message_id: the provider's name of an accepted message.
        reason: why not, for a person; never the provider's text, which may repeat an address.
        retry_at: with the kind retry_at: not before this time; None leaves it to the machine.
        pauses_account: whether all messages of the account would meet the same until a person
            acted.
        suppresses_recipient: whether the provider says of the address, and not of this message,
            that nothing will ever reach it.
    """

    kind: SendKind
    provider_class: ProviderClass
    code: str
    provider_message_id: str = ""
    reason: str = ""
    retry_at: datetime | None = None
    pauses_account: bool = False
    suppresses_recipient: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedReceipt:
    """What a provider says later, in a request that it signed.

    Attributes:
        delivery_id: what it names; None where it names nothing of ours.
        provider_message_id: its own name of the message, or empty.
        occurred_at: by the provider's clock; None where it does not say.
        suppresses_recipient: as in SendResult, or that the person complained.
    """

    kind: ReceiptKind
    delivery_id: UUID | None
    provider_message_id: str
    occurred_at: datetime | None
    suppresses_recipient: bool = False


class Channel(Protocol):
    """A way to reach people. Its module ends with `CHANNEL: Final = <an instance>`.

    An instance holds nothing that belongs to an account or a message.
    """

    @property
    def name(self) -> str:
        """Its name in rules, templates and accounts, in kebab-case."""

    @property
    def address_kind(self) -> str:
        """The kind of address that it needs of a person."""

    @property
    def capabilities(self) -> Capabilities:
        """What the provider offers."""

    @property
    def required_settings(self) -> frozenset[str]:
        """Names of the settings without which an account cannot be."""

    @property
    def required_credentials(self) -> frozenset[str]:
        """Names of the secrets without which an account cannot be."""

    @property
    def texts(self) -> Mapping[str, TextRule] | None:
        """The texts of its templates by name.

        None where the provider sends nothing but templates of its own, which ours must name: they
        say which.
        """

    @property
    def carries_unsubscribe_link(self) -> bool:
        """Whether its messages say where the person withdraws consent."""

    def check_account(self, found: Fields, account: NewAccount) -> None:
        """Note in `found` what is wrong with the values of an account's settings and secrets.

        Those that are required are there, or were noted before.
        """

    async def send(
        self, message: Message, account: Account, clients: Clients, *, timeout: timedelta
    ) -> SendResult:
        """Hand a message to the provider, once; `timeout` is for all of it.

        Never raises for what the provider or the network does: that is a result. A cancelled
        call leaves an open outcome.
        """

    def read_receipt(
        self, body: bytes, headers: Mapping[str, str], account: Account
    ) -> list[ReceivedReceipt]:
        """Verify a request of the provider and read it; the names of headers are lower-case.

        Raises:
            ReceiptRefusedError: the account's secret did not sign it, or it cannot be read.
        """
