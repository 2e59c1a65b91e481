"""An account at the simulated mail server, for one tenant of a development stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leo.dispatch.v1.dispatch_service_pb2 import ChannelAccount
from libs.rpc.address import split_address
from libs.simulator.client import SimulatorClient
from libs.supervisor.simulated import make_known, secret_of

if TYPE_CHECKING:
    import leo_sdk
    from libs.supervisor.running import RunningStack

CHANNEL: Final = "email"


async def open_account(
    stack: RunningStack,
    client: leo_sdk.LeoClient,
    *,
    tenant_id: str,
    name: str,
    from_name: str = "LEO",
    concurrent_send_count_max: int = 0,
) -> ChannelAccount:
    """Make an account known to both sides: to LEO with its secrets, to the server with our webhook.

    The same tenant and name give the same account, so it may be called again, as after a restart
    that gave the edge or the mail server another address.

    Args:
        client: of this tenant.
        from_name: who sends, as people read it.
        concurrent_send_count_max: messages, and so connections, at once; the service's default if
            0.
    """
    seed = f"{tenant_id}:{name}"
    username, password = f"{name}-{secret_of(f'name:{seed}')[:12]}", secret_of(f"password:{seed}")
    async with SimulatorClient(stack.state.address("simulator")) as simulator:
        host, port = split_address(await simulator.smtp_address())
    account = await client.dispatch.set_channel_account(
        ChannelAccount(
            name=name,
            channel=CHANNEL,
            settings={
                "host": host,
                "port": str(port),
                "security": "plain",
                "username": username,
                "from_address": "hello@shop.test",
                "from_name": from_name,
                "return_path": "bounces@shop.test",
            },
            credentials={"password": password, "bounce_key": secret_of(f"bounce:{seed}")},
            concurrent_send_count_max=concurrent_send_count_max,
        )
    )
    edge = stack.state.address("edge")
    document = {
        "password": password,
        "webhook_url": f"http://{edge}/webhooks/email/{tenant_id}/{account.account_id}",
    }
    await make_known(stack, CHANNEL, username, document)
    return account
