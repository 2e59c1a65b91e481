"""The webhook by which Zalo says that a message has arrived."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson

from libs.simulator.webhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libs.simulator.providers.zalo_template.accounts import ZaloAccount
    from libs.simulator.witness import Message

TIMEOUT_SECONDS = 2.0
RETRY_INTERVALS_SECONDS = (30.0, 300.0, 900.0, 1800.0, 3600.0)


def build_receipt(
    account: ZaloAccount, message: Message, message_id: str, now: str
) -> Webhook | None:
    """Make the webhook for a message that arrived now; None if the OA has no address for it."""
    if account.webhook_url is None:
        return None
    event = {
        "event_name": "user_received_message",
        "app_id": account.app_id,
        "sender": {"id": message.account},
        "recipient": {"id": message.recipient},
        "message": {
            "msg_id": message_id,
            "tracking_id": message.reference,
            "delivery_time": now,
        },
        "timestamp": now,
    }

    def render(retry: int) -> tuple[bytes, Mapping[str, str]]:
        # Assumed: where num_retry stands, and that the first try has none.
        return sign_event(account, event | {"num_retry": retry} if retry else event)

    return Webhook(
        provider=message.provider,
        account=message.account,
        url=str(account.webhook_url),
        render=render,
        retry_intervals_seconds=RETRY_INTERVALS_SECONDS,
        timeout_seconds=TIMEOUT_SECONDS,
    )


def sign_event(account: ZaloAccount, event: Mapping[str, Any]) -> tuple[bytes, Mapping[str, str]]:
    """Give the body and the headers of an event: its mac is a plain SHA-256, not an HMAC."""
    body = orjson.dumps(event)
    mac = hashlib.sha256(account.app_id.encode())
    mac.update(body)
    mac.update(event["timestamp"].encode())
    mac.update(account.oa_secret_key.get_secret_value().encode())
    return body, {
        "Content-Type": "application/json",
        "X-ZEvent-Signature": f"mac={mac.hexdigest()}",
        "X-ZEvent-Server": "ZNS",
    }
