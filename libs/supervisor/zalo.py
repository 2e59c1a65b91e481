"""An official account at the simulated Zalo, for one tenant of a development stack."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from leo.dispatch.v1.dispatch_service_pb2 import ChannelAccount
from libs.supervisor.simulated import make_known, secret_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import leo_sdk
    from libs.supervisor.running import RunningStack

CHANNEL: Final = "zalo-template"
# Zalo's own quotas are for real people's patience, not for a machine's.
_QUOTAS: Final = {"daily_quota": 10_000_000, "calls_per_minute_max": 10_000_000}


async def open_account(
    stack: RunningStack,
    client: leo_sdk.LeoClient,
    *,
    tenant_id: str,
    name: str,
    templates: Sequence[dict[str, Any]],
    concurrent_send_count_max: int = 0,
) -> ChannelAccount:
    """Make an account known to both sides: to LEO with its secrets, to Zalo with our webhook.

    The same tenant and name give the same account, so it may be called again, as after a restart
    that gave the edge another address.

    Args:
        client: of this tenant.
        templates: as Zalo knows them (docs/guides/simulator.md).
        concurrent_send_count_max: messages in Zalo's hands at once; the service's default if 0.
    """
    seed = f"{tenant_id}:{name}"
    oa_id, app_id = _number(f"oa:{seed}"), _number(f"app:{seed}")
    access_token, oa_secret_key = secret_of(f"token:{seed}"), secret_of(f"key:{seed}")
    account = await client.dispatch.set_channel_account(
        ChannelAccount(
            name=name,
            channel=CHANNEL,
            settings={
                "base_url": f"http://{stack.state.address('simulator')}/zalo",
                "app_id": app_id,
            },
            credentials={"access_token": access_token, "oa_secret_key": oa_secret_key},
            concurrent_send_count_max=concurrent_send_count_max,
        )
    )
    edge = stack.state.address("edge")
    document = {
        "app_id": app_id,
        "access_token": access_token,
        "oa_secret_key": oa_secret_key,
        "webhook_url": f"http://{edge}/webhooks/zalo/{tenant_id}/{account.account_id}",
        "templates": list(templates),
        **_QUOTAS,
    }
    await make_known(stack, CHANNEL, oa_id, document)
    return account


def _number(text: str) -> str:
    return str(10**15 + int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big"))
