"""Template messages of a Zalo Official Account by phone number, once called ZNS.

Zalo answers HTTP 200 whatever it thinks; the body's `error` says it. It takes no key that would
make a repeat harmless, and hands `tracking_id` back in the receipt of a delivered message.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import orjson

from libs.addressing import normal_phone
from libs.http.client import NoAnswerError, NotSentError
from services.dispatch.channels.contract import Capabilities, ReceivedReceipt, SendResult
from services.dispatch.errors import ReceiptRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libs.fields import Fields
    from libs.http.client import HttpResponse
    from services.dispatch.channels.contract import Account, Clients, Message, ProviderClass
    from services.dispatch.domain.account import NewAccount

# Zalo documents no zone for its nights and days; it is a Vietnamese service.
VIETNAM: Final = timezone(timedelta(hours=7))
MORNING_HOUR: Final = 6
COUNTRY_CODE: Final = "+84"
REFERENCE_LENGTH_MAX: Final = 48
MESSAGE_ID_LENGTH_MAX: Final = 128
TIMESTAMP_DIGITS_MAX: Final = 14

SERVER_ERRORS: Final = range(500, 600)
# What these say is definite, whoever answers in Zalo's place.
STATUS_CLASSES: Final[Mapping[int, ProviderClass]] = {401: "T", 429: "RL"}

# Source: https://zalo.cloud/zns/guidelines/handle-error-code
CLASSES: Final[Mapping[int, ProviderClass]] = {
    # Too many calls in this minute.
    -32: "RL",
    # An unknown error; "try later".
    -100: "R",
    # App, Official Account (OA), secret: missing, blocked or without the right.
    **dict.fromkeys((-101, -102, -103, -104, -105, -120, -125, -135, -136, -1351, -1241), "C"),
    # Method, phone number, template, its data, its form.
    -106: "C",
    -108: "P",
    **dict.fromkeys((-109, -111, -112, -1121, -1122, -1124, -113, -116, -132), "C"),
    # The person: cannot receive, no account, deactivated.
    **dict.fromkeys((-114, -118, -119), "P"),
    # Balance spent, the developer's wallet too, not charged.
    **dict.fromkeys((-115, -126, -137), "Q"),
    # No permission, template not approved, kind barred, disabled for its quality.
    **dict.fromkeys((-117, -131, -145, -146), "C"),
    -124: "T",
    # In development a template goes to admins alone.
    -127: "C",
    -133: "D",
    # The person: refused this kind, ineligible, refused this OA.
    **dict.fromkeys((-139, -140, -141), "P"),
    # Caps: of the OA, of the template, of promotions, of the person.
    **dict.fromkeys((-144, -147, -1441, -1471, -1472), "Q"),
}
# Of those of the person, the ones that hold for every message of this OA and do not go away by
# themselves: no such number, no account, deactivated, refused this OA. The others are about one
# kind of message, or about an app that is old or out of use.
SUPPRESSING: Final = frozenset({-108, -118, -119, -141})
REASONS: Final[Mapping[ProviderClass, str]] = {
    "R": "Zalo could not take it for now",
    "RL": "too many calls in this minute",
    "Q": "the quota or the balance is spent",
    "D": "promotions are not sent from 22:00 to 06:00",
    "T": "the access token is not accepted; set the account's access_token",
    "P": "the person cannot be reached in this way",
    "C": "Zalo does not accept the message as it is",
}
# What is wrong with the account if not even a connection was tried.
ACCOUNT_PROBLEMS: Final[Mapping[str, str]] = {
    "address": "the account's base_url is no address",
    "private": "the account's base_url leads into a private network",
    "header": "the account's access_token is no token",
}


class ZaloTemplate:
    name = "zalo-template"
    address_kind = "phone"
    capabilities = Capabilities(
        idempotency=None,
        # A phone that is off receives it when it is on again.
        echo_window=timedelta(hours=24),
        # Zalo can be asked about its own message id alone, which a doubtful send never got.
        lookup=False,
        screen_dedupe=False,
    )
    required_settings = frozenset({"app_id", "base_url"})
    required_credentials = frozenset({"access_token", "oa_secret_key"})
    # The template at Zalo says which.
    texts = None
    # Zalo's own app has a button.
    carries_unsubscribe_link = False

    def check_account(self, found: Fields, account: NewAccount) -> None:
        if not account.settings.get("base_url", "https:").startswith(("https:", "http:")):
            found.refuse("settings.base_url", 'must be such as "https://business.openapi.zalo.me"')

    async def send(
        self, message: Message, account: Account, clients: Clients, *, timeout: timedelta
    ) -> SendResult:
        if normal_phone(message.recipient) != message.recipient:
            return _refused("P", "phone_invalid", "the person's phone is no number that can exist")
        if not message.recipient.startswith(COUNTRY_CODE):
            # Zalo reads a number without its plus sign as a Vietnamese one: somebody else's.
            return _refused("P", "phone_foreign", "Zalo reaches Vietnamese numbers alone")
        if len(message.reference) > REFERENCE_LENGTH_MAX:
            return _refused(
                "C", "reference_too_long", f"it is longer than {REFERENCE_LENGTH_MAX} characters"
            )
        body = {
            "phone": message.recipient.removeprefix("+"),
            "template_id": message.provider_template_id,
            # Zalo counts characters, and more of them where accents stand apart.
            "template_data": {
                name: unicodedata.normalize("NFC", text) for name, text in message.data.items()
            },
            "tracking_id": message.reference,
        }
        try:
            response = await clients.http.post(
                f"{account.settings['base_url'].rstrip('/')}/message/template",
                body=orjson.dumps(body),
                headers={
                    "Content-Type": "application/json",
                    "access_token": account.credentials["access_token"],
                },
                timeout=timeout,
            )
        except NotSentError as error:
            return SendResult(
                kind="retry_at",
                provider_class="R",
                code=f"not_sent_{error.problem}",
                reason=ACCOUNT_PROBLEMS.get(error.problem, "Zalo could not be connected to"),
                pauses_account=error.problem in ACCOUNT_PROBLEMS,
            )
        except NoAnswerError as error:
            return _unknown(f"no_answer_{error.problem}")
        return result_of(response, datetime.now(UTC))

    def read_receipt(
        self, body: bytes, headers: Mapping[str, str], account: Account
    ) -> list[ReceivedReceipt]:
        event = _verified(body, headers, account)
        message = event.get("message")
        # Receipts of ordinary chats have the same event's name.
        if (
            event.get("event_name") == "user_received_message"
            and headers.get("x-zevent-server") == "ZNS"
            and isinstance(message, dict)
        ):
            return [
                ReceivedReceipt(
                    kind="delivered",
                    delivery_id=_uuid(message.get("tracking_id")),
                    provider_message_id=_message_id(message.get("msg_id")),
                    occurred_at=_time(message.get("delivery_time")),
                )
            ]
        return [
            ReceivedReceipt(
                kind="other",
                delivery_id=None,
                provider_message_id="",
                occurred_at=_time(event.get("timestamp")),
            )
        ]


def result_of(response: HttpResponse, now: datetime) -> SendResult:
    """What an answer says of the message.

    Zalo documents no answer of 5xx, so none is known to mean that nothing was accepted.
    """
    answer = _object(response.body)
    error = answer.get("error")
    data = answer.get("data")
    message_id = _message_id(data.get("msg_id")) if isinstance(data, dict) else ""
    # `true` is an int to Python.
    if type(error) is not int:
        error = None
    if response.status not in SERVER_ERRORS:
        if error:
            # A definite no; of a code that is new, nobody knows whether it goes away by itself.
            said = _no(CLASSES.get(error, "C"), str(error), now)
            return replace(said, suppresses_recipient=error in SUPPRESSING)
        if response.status in STATUS_CLASSES:
            return _no(STATUS_CLASSES[response.status], f"http_{response.status}", now)
    if not response.is_success:
        return _unknown(f"http_{response.status}")
    if error is None or not message_id:
        return _unknown("unreadable")
    return SendResult(
        kind="accepted", provider_class="OK", code="0", provider_message_id=message_id
    )


def retry_time(provider_class: ProviderClass, now: datetime) -> datetime | None:
    """When Zalo may say something else; None where it does not say."""
    local = now.astimezone(VIETNAM)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    match provider_class:
        case "RL":
            then = local.replace(second=0, microsecond=0) + timedelta(minutes=1)
        case "Q":
            then = midnight + timedelta(days=1)
        case "D":
            then = midnight + timedelta(hours=MORNING_HOUR)
            if then <= local:
                then += timedelta(days=1)
        case _:
            return None
    return then.astimezone(UTC)


def _no(provider_class: ProviderClass, code: str, now: datetime) -> SendResult:
    reason = REASONS[provider_class]
    if provider_class in {"P", "C"}:
        return _refused(provider_class, code, reason)
    return SendResult(
        kind="retry_at",
        provider_class=provider_class,
        code=code,
        reason=reason,
        retry_at=retry_time(provider_class, now),
        pauses_account=provider_class == "T",
    )


def _refused(provider_class: ProviderClass, code: str, reason: str) -> SendResult:
    return SendResult(kind="rejected", provider_class=provider_class, code=code, reason=reason)


def _unknown(code: str) -> SendResult:
    return SendResult(
        kind="unknown",
        provider_class="AMB",
        code=code,
        reason="nobody knows yet whether Zalo accepted it",
    )


def _verified(body: bytes, headers: Mapping[str, str], account: Account) -> dict[str, Any]:
    """The event in a request that Zalo signed.

    The signed text ends with a time that only the body tells, so it is parsed before it is known
    to be Zalo's: its size is limited by the door, its depth by the parser.

    Raises:
        ReceiptRefusedError: Zalo did not sign it, or it cannot be read.
    """
    event = _object(body)
    timestamp = event.get("timestamp")
    if not isinstance(timestamp, str) or _time(timestamp) is None:
        raise ReceiptRefusedError("unreadable")
    # No HMAC: Zalo defines it so.
    expected = hashlib.sha256(
        account.settings["app_id"].encode()
        + body
        + timestamp.encode()
        + account.credentials["oa_secret_key"].encode()
    )
    claimed = headers.get("x-zevent-signature", "").removeprefix("mac=")
    if not hmac.compare_digest(claimed.encode(), expected.hexdigest().encode()):
        raise ReceiptRefusedError("signature")
    return event


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object that the body is; empty for anything else."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _message_id(value: object) -> str:
    """Zalo's id of a message; empty where it is none that could be stored."""
    usable = isinstance(value, str) and len(value) <= MESSAGE_ID_LENGTH_MAX and value.isprintable()
    return value if isinstance(value, str) and usable else ""


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _time(value: object) -> datetime | None:
    """Milliseconds since 1970, written as a text."""
    if not isinstance(value, str) or not value.isascii() or not value.isdecimal():
        return None
    if len(value) > TIMESTAMP_DIGITS_MAX:
        return None
    return datetime.fromtimestamp(int(value) / 1000, UTC)


CHANNEL: Final = ZaloTemplate()
