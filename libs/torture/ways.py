"""The ways to reach people that are tried, as data: one more channel is one more row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from leo.decision.v1.decision_service_pb2 import Choice
from leo.dispatch.v1.dispatch_service_pb2 import Template
from libs.supervisor import mail, zalo

if TYPE_CHECKING:
    from collections.abc import Mapping

    import leo_sdk
    from libs.supervisor.running import RunningStack

_ZALO_TEMPLATE_ID: Final = "330001"


class Open(Protocol):
    """Makes an account at a simulated provider, and a template."""

    async def __call__(
        self, stack: RunningStack, client: leo_sdk.LeoClient, *, tenant_id: str, name: str
    ) -> Choice: ...


@dataclass(frozen=True, slots=True)
class Channel:
    """What a schedule knows of a channel.

    Attributes:
        open: makes a way to send by it.
        refusal: the fault by which its provider says a definite no for good.
    """

    open: Open
    refusal: Mapping[str, Any]


async def _open_zalo(
    stack: RunningStack, client: leo_sdk.LeoClient, *, tenant_id: str, name: str
) -> Choice:
    account = await zalo.open_account(
        stack,
        client,
        tenant_id=tenant_id,
        name=name,
        templates=[
            {"template_id": _ZALO_TEMPLATE_ID, "parameters": [{"name": "customer"}]},
        ],
    )
    template = await client.dispatch.create_template(
        Template(
            name=name,
            channel=zalo.CHANNEL,
            provider_template_id=_ZALO_TEMPLATE_ID,
            data={"customer": "{{ profile.given_name }}"},
        )
    )
    return Choice(
        channel=zalo.CHANNEL, template_id=template.template_id, account_id=account.account_id
    )


async def _open_mail(
    stack: RunningStack, client: leo_sdk.LeoClient, *, tenant_id: str, name: str
) -> Choice:
    account = await mail.open_account(stack, client, tenant_id=tenant_id, name=name)
    template = await client.dispatch.create_template(
        Template(
            name=name,
            channel=mail.CHANNEL,
            data={
                "subject": "{{ profile.given_name }}",
                "html": "<p>{{ profile.given_name }}</p>",
            },
        )
    )
    return Choice(
        channel=mail.CHANNEL, template_id=template.template_id, account_id=account.account_id
    )


# What is refused is refused to one message alone: codes that suppress the address would leave a
# schedule with nobody to send to.
CHANNELS: Final[Mapping[str, Channel]] = {
    zalo.CHANNEL: Channel(_open_zalo, {"kind": "error_code", "code": -114}),
    mail.CHANNEL: Channel(_open_mail, {"kind": "error_code", "code": 552}),
}
# The choices of the rules, by channel and account. Each order of them that begins with another one
# has a rule, so that each way is tried first by some messages and last by others.
WAYS: Final = ((zalo.CHANNEL, "first"), (mail.CHANNEL, "mail"), (zalo.CHANNEL, "spare"))
