"""The channel: how it sends, and how it reads what comes back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, cast, get_args
from uuid import UUID

from libs.addressing import ascii_email
from libs.smtp.client import NoAnswerError, NotSentError, Security, SmtpServer
from services.dispatch.channels.contract import Capabilities, ReceivedReceipt, SendResult
from services.dispatch.channels.email.composing import (
    TRANSACTIONAL,
    compose,
    message_id_of,
    one_line,
)
from services.dispatch.channels.email.replies import no_answer, not_sent, result_of
from services.dispatch.channels.email.reports import addresses_of, read_mail, receipts_of
from services.dispatch.channels.email.return_path import (
    NAME_LENGTH_MAX,
    delivery_of,
    return_path_of,
)
from services.dispatch.domain.template import TextRule
from services.dispatch.errors import ReceiptRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libs.fields import Fields
    from services.dispatch.channels.contract import Account, Clients, Message, ProviderClass
    from services.dispatch.domain.account import NewAccount

# Source: RFC 8314, 3.3 and RFC 6409, 3.1; in the clear it is a relay's own port.
PORTS: Final[Mapping[str, int]] = {"tls": 465, "starttls": 587, "plain": 25}
PORT_MAX: Final = 65_535
SUBJECT_LENGTH_MAX: Final = 250
# Gmail shows no more than 102 kB of a message.
HTML_LENGTH_MAX: Final = 100_000
BOUNCE_KEY_LENGTH_MIN: Final = 16
# What our own mail server says of a report's address, where it hands it to the edge.
ADDRESS_HEADER: Final = "x-original-to"
UNSUBSCRIBE_UNSET: Final = SendResult(
    kind="retry_at",
    provider_class="C",
    code="unsubscribe_unset",
    reason="LEO_UNSUBSCRIBE_URL is not set: only transactional mail goes without a link to "
    "unsubscribe",
    pauses_account=True,
)


class Email:
    name = "email"
    address_kind = "email"
    capabilities = Capabilities(
        # A Message-ID is a name: servers deliver the same one twice.
        idempotency=None,
        # Servers try for four to five days, and report then (RFC 5321, 4.5.4.1). No report says
        # nothing: it may have arrived.
        echo_window=timedelta(days=5),
        lookup=False,
        screen_dedupe=False,
    )
    required_settings = frozenset({"from_address", "host", "return_path"})
    required_credentials = frozenset({"bounce_key"})
    texts: Final = {
        "subject": TextRule(required=True, length_max=SUBJECT_LENGTH_MAX),
        "html": TextRule(required=True, length_max=HTML_LENGTH_MAX, markup=True),
        "text": TextRule(required=False, length_max=HTML_LENGTH_MAX),
    }
    carries_unsubscribe_link = True

    def check_account(self, found: Fields, account: NewAccount) -> None:
        settings = account.settings
        for name in ("from_address", "return_path", "reply_to"):
            address = settings.get(name, "")
            if address and not (address.isascii() and ascii_email(address)):
                found.refuse(f"settings.{name}", "must be an email address in ASCII")
        if len(settings.get("return_path", "").partition("@")[0]) > NAME_LENGTH_MAX:
            found.refuse(
                "settings.return_path",
                f"must have at most {NAME_LENGTH_MAX} characters before the @: a tag is added",
            )
        if settings.get("security", "tls") not in get_args(Security):
            found.refuse("settings.security", f"must be one of: {', '.join(get_args(Security))}")
        if settings.get("certificate_check", "on") not in ("on", "off"):
            found.refuse("settings.certificate_check", 'must be "on" or "off"')
        port = settings.get("port", "1")
        if not port.isascii() or not port.isdecimal() or not 1 <= int(port) <= PORT_MAX:
            found.refuse("settings.port", f"must be a number from 1 to {PORT_MAX}")
        key = account.credentials.get("bounce_key")
        if key is not None and len(key) < BOUNCE_KEY_LENGTH_MIN:
            found.refuse(
                "credentials.bounce_key", f"must have {BOUNCE_KEY_LENGTH_MIN} characters or more"
            )

    async def send(
        self, message: Message, account: Account, clients: Clients, *, timeout: timedelta
    ) -> SendResult:
        recipient = ascii_email(message.recipient)
        delivery_id = _uuid(message.reference)
        if recipient is None:
            return _refused(
                "P", "address_invalid", "the person's address is no email address in ASCII"
            )
        if delivery_id is None:
            return _refused("C", "reference_invalid", "the message's reference is no UUID")
        problem = _problem_of(message)
        if problem is not None:
            return problem
        settings = account.settings
        message_id = message_id_of(message.reference, settings)
        try:
            reply = await clients.smtp.send(
                server_of(account),
                sender=return_path_of(delivery_id, settings, account.credentials["bounce_key"]),
                recipient=recipient,
                content=compose(message, settings, recipient=recipient),
                timeout=timeout,
            )
        except NotSentError as error:
            return not_sent(error.problem)
        except NoAnswerError as error:
            return no_answer(error.problem)
        return result_of(reply, message_id)

    def read_receipt(
        self, body: bytes, headers: Mapping[str, str], account: Account
    ) -> list[ReceivedReceipt]:
        mail = read_mail(body)
        addresses = f"{headers.get(ADDRESS_HEADER, '')} {addresses_of(mail)}"
        delivery_id = delivery_of(addresses, account.credentials["bounce_key"])
        if delivery_id is None:
            raise ReceiptRefusedError("signature")
        return receipts_of(mail, delivery_id)


def server_of(account: Account) -> SmtpServer:
    """The mail server of an account, and who it is there."""
    settings = account.settings
    security = cast("Security", settings.get("security", "tls"))
    return SmtpServer(
        host=settings["host"],
        port=int(settings.get("port") or PORTS[security]),
        security=security,
        certificate_check=settings.get("certificate_check") != "off",
        username=settings.get("username", ""),
        password=account.credentials.get("password", ""),
    )


def _problem_of(message: Message) -> SendResult | None:
    """Why the texts cannot go out as they are."""
    if not one_line(message.data.get("subject", "")) or not message.data.get("html"):
        return _refused("C", "text_empty", "its subject or its html is empty")
    if message.purpose != TRANSACTIONAL and not message.unsubscribe_url:
        return UNSUBSCRIBE_UNSET
    return None


def _refused(provider_class: ProviderClass, code: str, reason: str) -> SendResult:
    return SendResult(kind="rejected", provider_class=provider_class, code=code, reason=reason)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
