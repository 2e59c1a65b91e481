"""What the shop wants: a segment, two messages by two channels each, and a campaign of rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from google.protobuf.duration_pb2 import Duration

from leo.decision.v1.decision_service_pb2 import Campaign, Choice, QuietHours, Rule
from leo.dispatch.v1.dispatch_service_pb2 import ChannelAccount, Template
from leo.segment.v1.segment_service_pb2 import Segment
from libs.demo.people import ext_id_of
from libs.demo.requests import request_id_of
from libs.supervisor import mail, zalo

if TYPE_CHECKING:
    from datetime import datetime

    import leo_sdk
    from leo.ingest.v1.ingest_service_pb2 import Tenant
    from libs.supervisor.running import RunningStack

# What a message may be about; people agree to each by itself.
CUSTOMER_CARE: Final = "customer-care"
MARKETING: Final = "marketing"

_THANKS_TEMPLATE: Final = "310001"
_INVITATION_TEMPLATE: Final = "310002"
_PARAMETERS: Final[dict[str, list[dict[str, Any]]]] = {
    _THANKS_TEMPLATE: [
        {"name": "customer", "length_max": 60},
        {"name": "amount", "format": "number"},
        {"name": "day", "format": "date"},
    ],
    _INVITATION_TEMPLATE: [{"name": "customer", "length_max": 60}, {"name": "city"}],
}
_CUSTOMER: Final = "{{ profile.family_name }} {{ profile.given_name }}"
_EMAIL_TEXTS: Final = {
    "thanks-email": {
        "subject": "Cảm ơn {{ profile.given_name }} đã mua đĩa",
        "html": (
            f"<p>Chào {_CUSTOMER},</p><p>Tiệm đĩa cảm ơn bạn về đơn hàng "
            "{{ event.properties.value_vnd }} đồng ngày {{ event.time | date }}.</p>"
        ),
    },
    "invitation-email": {
        "subject": "Mời {{ profile.given_name }} nghe nhạc tại tiệm đĩa",
        "html": (
            f"<p>Chào {_CUSTOMER},</p><p>Cuối tuần này ở {{{{ profile.city }}}} có một buổi nghe "
            "nhạc nhỏ. Mời bạn đến.</p>"
        ),
    },
}

# What goes wrong at the providers, on purpose: some answers never arrive, some are an error page,
# some people have no Zalo, and some receipts come twice. Of the mail server, the addresses of
# people whose mailbox is gone say the rest (libs/demo/people.py).
FAULTS: Final[list[dict[str, Any]]] = [
    {"provider": zalo.CHANNEL, "kind": "reply_lost", "every": 130, "count_max": 5},
    {"provider": zalo.CHANNEL, "kind": "server_error_after", "every": 170, "count_max": 3},
    {"provider": zalo.CHANNEL, "kind": "server_error_before", "every": 150, "count_max": 3},
    {"provider": zalo.CHANNEL, "kind": "error_code", "code": -118, "every": 15, "count_max": 40},
    {"provider": zalo.CHANNEL, "kind": "receipt_duplicated", "every": 100, "count_max": 8},
    {"provider": mail.CHANNEL, "kind": "connection_lost", "every": 60, "count_max": 3},
    {"provider": mail.CHANNEL, "kind": "reply_lost", "every": 110, "count_max": 2},
]


@dataclass(frozen=True, slots=True)
class Wish:
    """A rule and what it says in words."""

    rule: Rule
    words: str


@dataclass(frozen=True, slots=True)
class Shop:
    """Everything that was made.

    Attributes:
        wishes: the rules, the highest priority first; the last one is launched.
        segment_id: of the people to launch it to.
        launch_rule_id: of the rule that is launched.
    """

    wishes: list[Wish]
    segment_id: str
    launch_rule_id: str


@dataclass(frozen=True, slots=True)
class _Ids:
    """What the rules name; of each message, the ways to send it by channel."""

    campaign: str
    segment: str
    thanks: dict[str, Choice]
    invitation: dict[str, Choice]


async def set_up(
    stack: RunningStack, client: leo_sdk.LeoClient, tenant: Tenant, quiet_customer_id: str
) -> Shop:
    """Make everything and let the campaign act; a second run finds it all there.

    Args:
        client: of this tenant.
        quiet_customer_id: whose quiet hours are around the time of the tenant's creation.
    """
    segment = await client.segments.create_segment(
        Segment(
            name="central-vietnam",
            display_name="Huế and Đà Nẵng",
            condition='profile.city in ["Huế", "Đà Nẵng"]',
        ),
        request_id=request_id_of("segment"),
    )
    official_account = await zalo.open_account(
        stack,
        client,
        tenant_id=tenant.tenant_id,
        name="shop-oa",
        templates=[
            {"template_id": template_id, "parameters": parameters}
            for template_id, parameters in _PARAMETERS.items()
        ],
    )
    mailbox = await mail.open_account(
        stack, client, tenant_id=tenant.tenant_id, name="shop-mail", from_name="Tiệm đĩa CD"
    )
    campaign = await client.decisions.create_campaign(
        Campaign(name="after-the-purchase", display_name="After the purchase"),
        request_id=request_id_of("campaign"),
    )
    ids = _Ids(
        campaign.campaign_id,
        segment.segment_id,
        thanks={
            zalo.CHANNEL: await _choice(
                client,
                official_account,
                Template(
                    name="thanks",
                    provider_template_id=_THANKS_TEMPLATE,
                    data={
                        "customer": _CUSTOMER,
                        "amount": "{{ event.properties.value_vnd }}",
                        "day": "{{ event.time | date }}",
                    },
                ),
            ),
            mail.CHANNEL: await _email_choice(client, mailbox, "thanks-email"),
        },
        invitation={
            zalo.CHANNEL: await _choice(
                client,
                official_account,
                Template(
                    name="invitation",
                    provider_template_id=_INVITATION_TEMPLATE,
                    data={"customer": _CUSTOMER, "city": "{{ profile.city }}"},
                ),
            ),
            mail.CHANNEL: await _email_choice(client, mailbox, "invitation-email"),
        },
    )
    wishes = _wishes(ids, tenant, quiet_customer_id)
    for wish in wishes:
        rule = await client.decisions.create_rule(
            wish.rule, request_id=request_id_of(f"rule:{wish.rule.name}")
        )
    await client.decisions.set_campaign_state(campaign.campaign_id, Campaign.STATE_ACTIVE)
    return Shop(wishes, segment.segment_id, launch_rule_id=rule.rule_id)


async def _choice(client: leo_sdk.LeoClient, account: ChannelAccount, template: Template) -> Choice:
    template.channel = account.channel
    stored = await client.dispatch.create_template(
        template, request_id=request_id_of(f"template:{template.name}")
    )
    return Choice(
        channel=account.channel, template_id=stored.template_id, account_id=account.account_id
    )


async def _email_choice(client: leo_sdk.LeoClient, account: ChannelAccount, name: str) -> Choice:
    return await _choice(client, account, Template(name=name, data=_EMAIL_TEXTS[name]))


def _wishes(ids: _Ids, tenant: Tenant, quiet_customer_id: str) -> list[Wish]:
    return [
        Wish(
            Rule(
                campaign_id=ids.campaign,
                name="big-order",
                event_type="purchase",
                condition="event.properties.value_vnd >= 1500000",
                priority=100,
                purpose=CUSTOMER_CARE,
                cooldown=_days(7),
                time_to_live=_days(10),
                choices=[ids.thanks[zalo.CHANNEL], ids.thanks[mail.CHANNEL]],
            ),
            "An order of 1,500,000 đồng or more gets thanks by Zalo, or else by email: once a week "
            "at most, and only while the order is not older than ten days.",
        ),
        Wish(
            Rule(
                campaign_id=ids.campaign,
                name="come-back",
                event_type="purchase",
                condition='profile.funnel_stage == "engaged-customer"',
                priority=60,
                purpose=CUSTOMER_CARE,
                cooldown=_days(30),
                time_to_live=_days(30),
                choices=[ids.thanks[zalo.CHANNEL], ids.thanks[mail.CHANNEL]],
            ),
            "Who buys again gets thanks for coming back, by Zalo, or else by email: once in 30 "
            "days at most.",
        ),
        Wish(
            Rule(
                campaign_id=ids.campaign,
                name="first-order",
                event_type="purchase",
                condition='profile.funnel_stage == "new-customer"',
                priority=50,
                purpose=MARKETING,
                hold_out_percent=10,
                time_to_live=_days(30),
                choices=[ids.invitation[mail.CHANNEL], ids.invitation[zalo.CHANNEL]],
            ),
            "A first order gets an invitation by email, or else by Zalo; one customer in ten is "
            "held out, so that the shop sees what the message changes.",
        ),
        Wish(
            Rule(
                campaign_id=ids.campaign,
                name="concert-in-hue",
                event_type="purchase",
                condition="event.properties.cd_count >= 3",
                segment_id=ids.segment,
                priority=40,
                purpose=MARKETING,
                time_to_live=_days(30),
                choices=[ids.invitation[zalo.CHANNEL]],
            ),
            "Three CDs or more get an invitation to a concert by Zalo, if the customer lives in "
            "Huế or Đà Nẵng.",
        ),
        Wish(
            Rule(
                campaign_id=ids.campaign,
                name="not-at-this-hour",
                event_type="purchase",
                condition=f'profile.ext_id == "{ext_id_of(quiet_customer_id)}"',
                priority=10,
                purpose=CUSTOMER_CARE,
                quiet_hours=_quiet_hours(tenant),
                time_to_live=_days(30),
                choices=[ids.thanks[zalo.CHANNEL]],
            ),
            "One single customer must not be disturbed at the hour at which this demo ran first: "
            "the message waits until the quiet hours end.",
        ),
        Wish(
            Rule(
                campaign_id=ids.campaign,
                name="opening-party",
                trigger=Rule.TRIGGER_LAUNCH,
                purpose=MARKETING,
                cooldown=_days(30),
                time_to_live=_days(2),
                choices=[ids.invitation[mail.CHANNEL], ids.invitation[zalo.CHANNEL]],
            ),
            "When the shop says so, everybody who lives in Huế or Đà Nẵng then is invited to a "
            "party, by email or else by Zalo.",
        ),
    ]


def _quiet_hours(tenant: Tenant) -> QuietHours:
    """From an hour before the tenant was made to two hours after it, at any time of the day."""
    made_at: datetime = tenant.create_time.ToDatetime(tzinfo=UTC)
    here = made_at.astimezone(ZoneInfo(tenant.time_zone))
    return QuietHours(
        start=f"{here - timedelta(hours=1):%H:%M}", end=f"{here + timedelta(hours=2):%H:%M}"
    )


def _days(count: int) -> Duration:
    return Duration(seconds=count * 86_400)
