"""The machine with email, from a decision to a report."""

from __future__ import annotations

import asyncio
import email
import email.policy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from cryptography.fernet import Fernet

from libs.rpc.requests import Origin
from libs.unsubscribe import UnsubscribeLinks
from services.dispatch.channels.email.return_path import return_path_of
from services.dispatch.domain.account import Credentials, NewAccount
from services.dispatch.domain.template import NewTemplate
from services.dispatch.machine.claim import Claims
from services.dispatch.store import DispatchStore
from services.dispatch.usecases import create_template, set_channel_account
from tests.contract.channels.complaints import complaint_of
from tests.contract.dispatch.world import CHANNEL, choice
from tests.contract.simulator.simulators import Received

if TYPE_CHECKING:
    from email.message import EmailMessage

    from tests.contract.dispatch.machines import Site
    from tests.contract.dispatch.world import Person
    from tests.contract.simulator.simulators import Receiver

LINKS = UnsubscribeLinks([Fernet.generate_key()], "https://leo.shop.test/unsubscribe")
ORIGIN = Origin(actor="test", call_id="call", request=None)


@dataclass(frozen=True)
class Mail:
    """An account at the mail server and a template, of the site's tenant."""

    site: Site
    account_id: UUID
    template_id: UUID

    def choice(self, **changes: Any) -> dict[str, Any]:
        values = {
            "channel": "email",
            "account_id": str(self.account_id),
            "template_id": str(self.template_id),
            "recipient_ref": "email:0",
        }
        return choice(**(values | changes))

    async def person(self, address: str = "an@person.test", **document: Any) -> Person:
        person = await self.site.person(emails=[address], **document)
        await self.site.world.consent(person, channel="email")
        return person

    async def delivery(self, person: Person) -> UUID:
        return await self.site.delivery(person, choices=[self.choice()])

    @property
    def claims(self) -> Claims:
        return Claims(self.site.database, self.site.key_ring, self.site.settings(), LINKS)

    async def read(self, delivery_id: UUID) -> EmailMessage:
        raw = await self.site.simulator.mail(str(delivery_id))
        return email.message_from_bytes(raw, policy=email.policy.default)


@pytest.fixture
async def mail(site: Site, receiver: Receiver) -> Mail:
    username = f"shop-{uuid4().hex[:8]}"
    await site.simulator.set_email_account(
        username, password="a-password", webhook_url=receiver.url
    )
    store = DispatchStore(site.database)
    account = await set_channel_account(
        store,
        site.key_ring,
        site.world.tenant_id,
        NewAccount(
            name="mail",
            channel="email",
            settings={
                "host": "127.0.0.1",
                "port": str(await site.simulator.smtp_port()),
                "security": "plain",
                "username": username,
                "from_address": "hello@shop.test",
                "return_path": "bounces@shop.test",
            },
            credentials=Credentials({"password": "a-password", "bounce_key": "b" * 16}),
            concurrent_send_count_max=10,
        ),
        ORIGIN,
    )
    template = await create_template(
        store,
        site.world.tenant_id,
        NewTemplate(
            name="thanks-by-mail",
            channel="email",
            provider_template_id="",
            data={
                "subject": "Chào {{ profile.given_name }}",
                "html": "<p>Cảm ơn <b>{{ profile.given_name }}</b>!</p>",
            },
        ),
        ORIGIN,
    )
    return Mail(site, account.account_id, template.template_id)


async def test_a_delivery_becomes_a_mail(site: Site, mail: Mail) -> None:
    person = await mail.person(given_name="<i>An</i> & Bình")
    delivery_id = await mail.delivery(person)
    async with site.machine(claims=mail.claims):
        await site.wait_for(accepted=1)
    row = await site.row(delivery_id)
    assert row["provider_message_id"] == f"<{delivery_id}@shop.test>"
    sent = await mail.read(delivery_id)
    # A value is text: escaped into the page, and as it is in the subject.
    assert sent["Subject"] == "Chào <i>An</i> & Bình"
    html = sent.get_body(("html",))
    assert html is not None
    assert "<b>&lt;i&gt;An&lt;/i&gt; &amp; Bình</b>" in html.get_content()
    plain = sent.get_body(("plain",))
    assert plain is not None
    assert "Cảm ơn <i>An</i> & Bình!" in plain.get_content()
    withdrawal = LINKS.read(sent["List-Unsubscribe"].strip("<> ").rpartition("/")[2])
    assert (withdrawal.tenant_id, withdrawal.ext_id) == (site.world.tenant_id, person.ext_id)
    assert (withdrawal.channel, withdrawal.purpose) == ("email", "marketing")
    assert withdrawal.delivery_id == delivery_id


async def test_a_report_settles_a_doubt(site: Site, mail: Mail, receiver: Receiver) -> None:
    await site.simulator.add_faults({"kind": "reply_lost"})
    delivery_id = await mail.delivery(await mail.person("bounces.an@person.test"))
    async with site.machine(claims=mail.claims):
        await site.wait_for(outcome_unknown=1)
    await site.receive(await receiver.next(), mail.account_id)
    assert await site.outcome(delivery_id) == (
        "accepted",
        "a receipt proves that the provider took it",
    )
    rows = await site.world.superuser.fetch(
        "SELECT kind FROM delivery_receipt WHERE delivery_id = $1", delivery_id
    )
    assert {row["kind"] for row in rows} == {"sent", "bounced"}
    assert site.acceptances([delivery_id]) == [1]
    assert not await site.breaches()


async def test_junk_fails_by_itself_and_the_others_go(site: Site, mail: Mail) -> None:
    junk = await mail.delivery(await mail.person("no address\r\nat all"))
    good = [await mail.delivery(await mail.person()) for _ in range(3)]
    async with site.machine(claims=mail.claims):
        await site.wait_for(accepted=3, failed=1)
    state, reason = await site.outcome(junk)
    assert (state, reason) == ("failed", "the person's address is no email address in ASCII")
    assert site.acceptances([junk, *good]) == [0, 1, 1, 1]


async def test_a_connection_lost_before_data_is_tried_again(site: Site, mail: Mail) -> None:
    await site.simulator.add_faults({"kind": "connection_lost", "count_max": 2})
    delivery_id = await mail.delivery(await mail.person())
    async with site.machine(claims=mail.claims):
        await site.wait_for(accepted=1)
    assert [(kind, code) for _, phase, kind, code in await site.attempts(delivery_id) if kind] == [
        ("retry_at", "not_sent_lost"),
        ("retry_at", "not_sent_lost"),
        ("accepted", "250 2.0.0"),
    ]


async def test_what_zalo_refuses_goes_by_mail(site: Site, mail: Mail) -> None:
    await site.simulator.add_faults({"kind": "error_code", "code": -118, "provider": CHANNEL})
    by_zalo = choice(account_id=str(site.account_id), template_id=str(site.template_id))
    delivery_id = await site.delivery(await mail.person(), choices=[by_zalo, mail.choice(choice=1)])
    async with site.machine(claims=mail.claims):
        await site.wait_for(failed=1, accepted=1)
    chain = await site.chain_of(delivery_id)
    assert [(row["channel"], row["state"]) for row in chain] == [
        ("zalo-template", "failed"),
        ("email", "accepted"),
    ]
    assert not await site.breaches()


async def suppressed(site: Site) -> list[tuple[str, str]]:
    """Cause and source."""
    rows = await site.world.superuser.fetch("SELECT cause, source FROM suppression")
    return [tuple(row) for row in rows]


async def assert_nothing_more_goes(site: Site, mail: Mail, address: str, reason: str) -> None:
    async with site.machine(claims=mail.claims):
        delivery_id = await mail.delivery(await mail.person(address))
        while (await site.outcome(delivery_id))[0] == "pending":  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    assert await site.outcome(delivery_id) == ("suppressed", f"SUPPRESSED: {reason}")
    assert not await site.breaches()


async def test_a_mailbox_that_is_not_there_is_asked_once(site: Site, mail: Mail) -> None:
    await mail.delivery(await mail.person("unknown.an@person.test"))
    async with site.machine(claims=mail.claims):
        await site.wait_for(failed=1)
    assert await suppressed(site) == [("rejected", "delivery")]
    await assert_nothing_more_goes(
        site, mail, "unknown.an@person.test", "the provider refuses this address for good"
    )


async def test_what_a_server_has_against_us_suppresses_nobody(site: Site, mail: Mail) -> None:
    await mail.delivery(await mail.person("blocked.an@person.test"))
    async with site.machine(claims=mail.claims):
        await site.wait_for(failed=1)
    assert await suppressed(site) == []


async def test_a_mail_that_came_back_is_the_last_one(
    site: Site, mail: Mail, receiver: Receiver
) -> None:
    await mail.delivery(await mail.person("bounces.an@person.test"))
    async with site.machine(claims=mail.claims):
        await site.wait_for(accepted=1)
    report = await receiver.next()
    await site.receive(report, mail.account_id)
    assert await suppressed(site) == [("bounced", "receipt")]
    # The same report again is known, also when somebody has lifted it meanwhile.
    await site.world.superuser.execute("UPDATE suppression SET lifted_at = now()")
    await site.receive(report, mail.account_id, known=True)
    assert len(await suppressed(site)) == 1
    await site.world.superuser.execute("UPDATE suppression SET lifted_at = NULL")
    await assert_nothing_more_goes(
        site, mail, "bounces.an@person.test", "an earlier message to this address came back"
    )


async def test_a_mail_that_was_given_up_may_arrive_next_time(
    site: Site, mail: Mail, receiver: Receiver
) -> None:
    await mail.delivery(await mail.person("expires.an@person.test"))
    async with site.machine(claims=mail.claims):
        await site.wait_for(accepted=1)
    await site.receive(await receiver.next(), mail.account_id)
    assert await suppressed(site) == []


async def test_who_calls_a_mail_spam_gets_no_other(site: Site, mail: Mail) -> None:
    delivery_id = await mail.delivery(await mail.person())
    async with site.machine(claims=mail.claims):
        await site.wait_for(accepted=1)
    return_path = return_path_of(delivery_id, {"return_path": "bounces@shop.test"}, "b" * 16)
    await site.receive(Received(complaint_of(return_path), {}, datetime.now(UTC)), mail.account_id)
    assert await suppressed(site) == [("complained", "receipt")]
    await assert_nothing_more_goes(
        site, mail, "an@person.test", "the person complained about an earlier message"
    )


async def test_a_report_of_another_accounts_message_suppresses_nobody(
    site: Site, mail: Mail
) -> None:
    delivery_id = await site.delivery()
    async with site.machine(claims=mail.claims):
        await site.wait_for(accepted=1)
    return_path = return_path_of(delivery_id, {"return_path": "bounces@shop.test"}, "b" * 16)
    await site.receive(Received(complaint_of(return_path), {}, datetime.now(UTC)), mail.account_id)
    assert await suppressed(site) == []
