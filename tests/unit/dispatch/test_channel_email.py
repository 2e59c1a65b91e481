"""What email decides without a mail server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from libs.fields import Fields
from libs.smtp.client import SmtpReply
from services.dispatch.channels.contract import Account
from services.dispatch.channels.email import CHANNEL
from services.dispatch.channels.email.channel import server_of
from services.dispatch.channels.email.composing import text_of
from services.dispatch.channels.email.replies import class_of, result_of
from services.dispatch.channels.email.reports import read_mail, receipts_of
from services.dispatch.channels.email.return_path import delivery_of, return_path_of
from services.dispatch.domain.account import Credentials, NewAccount

if TYPE_CHECKING:
    from libs.smtp.client import Step

KEY = "k" * 16
SETTINGS = {
    "host": "smtp.shop.test",
    "from_address": "hello@shop.test",
    "return_path": "bounces@shop.test",
}


@pytest.mark.parametrize(
    ("step", "reply", "expected"),
    [
        # No mailbox, no domain, no mail there, disabled, full.
        ("rcpt", (550, "5.1.1"), "P"),
        ("rcpt", (553, "5.1.3"), "P"),
        ("rcpt", (550, "5.1.2"), "P"),
        ("rcpt", (556, "5.1.10"), "P"),
        ("rcpt", (550, "5.2.1"), "P"),
        ("rcpt", (552, "5.2.2"), "P"),
        ("data", (550, "5.1.1"), "P"),
        ("rcpt", (550, ""), "P"),
        ("rcpt", (550, "5.0.0"), "P"),
        ("rcpt", (551, ""), "P"),
        # Not the recipient: the sender, or nobody knows whom it is about.
        ("mail", (550, "5.1.1"), "C"),
        ("mail", (553, "5.1.8"), "C"),
        ("data", (550, ""), "C"),
        # Policy and authentication never speak against the recipient.
        ("rcpt", (550, "5.7.1"), "C"),
        ("data", (550, "5.7.26"), "C"),
        ("rcpt", (554, "5.7.0"), "C"),
        ("data", (552, "5.3.4"), "C"),
        ("data", (552, ""), "C"),
        ("data", (554, ""), "C"),
        ("mail", (555, "5.5.4"), "C"),
        # For now.
        ("rcpt", (452, "4.2.2"), "R"),
        ("rcpt", (450, "4.7.1"), "R"),
        ("rcpt", (451, "4.7.1"), "R"),
        ("mail", (451, "4.3.0"), "R"),
        ("data", (452, "4.3.1"), "R"),
        ("rcpt", (450, ""), "R"),
        ("connect", (421, "4.3.2"), "R"),
        ("connect", (421, ""), "R"),
        # Fewer, please.
        ("connect", (421, "4.7.0"), "RL"),
        ("rcpt", (451, "4.7.650"), "RL"),
        ("data", (454, ""), "RL"),
        # Who are you?
        ("login", (535, "5.7.8"), "T"),
        ("login", (535, ""), "T"),
        ("login", (504, "5.5.4"), "T"),
        ("mail", (530, "5.7.0"), "T"),
        ("mail", (550, "5.7.8"), "T"),
        ("login", (454, "4.7.0"), "RL"),
        # Refused as we said hello.
        ("connect", (554, "5.7.1"), "C"),
        ("connect", (550, ""), "C"),
    ],
)
def test_a_reply_has_its_class(step: Step, reply: tuple[int, str], expected: str) -> None:
    assert class_of(SmtpReply(step, *reply)) == expected


@pytest.mark.parametrize(
    ("reply", "waits"),
    [
        (SmtpReply("rcpt", 451, "4.7.1"), timedelta(minutes=5)),
        (SmtpReply("connect", 421, "4.7.0"), timedelta(minutes=1)),
        (SmtpReply("mail", 451, "4.3.0"), None),
        (SmtpReply("login", 535, "5.7.8"), None),
    ],
)
def test_a_time_is_named_where_one_is_known(reply: SmtpReply, waits: timedelta | None) -> None:
    result = result_of(reply, "")
    assert result.kind == "retry_at"
    if waits is None:
        assert result.retry_at is None
    else:
        assert result.retry_at is not None
        assert abs(result.retry_at - datetime.now(UTC) - waits) < timedelta(seconds=30)


def test_an_account_has_the_port_of_its_security() -> None:
    credentials = Credentials({"bounce_key": KEY, "password": "p"})
    ports = {}
    for security in ("tls", "starttls", "plain"):
        server = server_of(
            Account(settings={**SETTINGS, "security": security}, credentials=credentials)
        )
        ports[security] = server.port
        assert server.certificate_check
    assert ports == {"tls": 465, "starttls": 587, "plain": 25}
    server = server_of(Account(settings={**SETTINGS, "port": "2525"}, credentials=credentials))
    assert (server.port, server.security, server.password) == (2525, "tls", "p")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"from_address": "nobody"}, "settings.from_address"),
        ({"from_address": "ánh@shop.test"}, "settings.from_address"),
        ({"from_address": "a@b.test\r\nBcc: c@d.test"}, "settings.from_address"),
        ({"reply_to": "x"}, "settings.reply_to"),
        ({"return_path": "@shop.test"}, "settings.return_path"),
        ({"return_path": f"{'b' * 22}@shop.test"}, "settings.return_path"),
        ({"security": "ssl"}, "settings.security"),
        ({"certificate_check": "no"}, "settings.certificate_check"),
        ({"port": "0"}, "settings.port"),
        ({"port": "65536"}, "settings.port"),
        ({"port": "²"}, "settings.port"),
        ({"bounce_key": "short"}, "credentials.bounce_key"),
    ],
)
def test_an_account_that_cannot_be_is_refused_by_the_fields_name(
    changes: dict[str, str], field: str
) -> None:
    credentials = {"bounce_key": changes.pop("bounce_key", KEY)}
    found = Fields()
    CHANNEL.check_account(found, account(settings=SETTINGS | changes, credentials=credentials))
    assert [violation.field for violation in found.violations] == [field]


def test_an_account_as_it_should_be() -> None:
    found = Fields()
    more = {"reply_to": "ask@shop.test", "port": "587", "security": "starttls", "from_name": "Sách"}
    CHANNEL.check_account(found, account(settings=SETTINGS | more, credentials={}))
    assert not found.violations


def account(*, settings: dict[str, str], credentials: dict[str, str]) -> NewAccount:
    return NewAccount(
        name="mail",
        channel="email",
        settings=settings,
        credentials=Credentials(credentials),
        concurrent_send_count_max=1,
    )


def test_a_return_path_brings_its_delivery_back() -> None:
    delivery_id = uuid4()
    address = return_path_of(delivery_id, {"return_path": f"{'b' * 21}@shop.test"}, KEY)
    assert len(address.partition("@")[0]) == 64
    assert address.isascii()
    # Some servers change its case, and it may stand in brackets or among others.
    for written in (address, address.upper(), f"A <a@b.test>, <{address}>"):
        assert delivery_of(written, KEY) == delivery_id
    assert delivery_of(address, KEY + "x") is None


def test_nobody_makes_up_a_return_path() -> None:
    delivery_id = uuid4()
    address = return_path_of(delivery_id, SETTINGS, KEY)
    name, _, domain = address.partition("@")
    for place in range(len("bounces+"), len(name) - 1):
        changed = name[:place] + ("a" if name[place] != "a" else "b") + name[place + 1 :]
        assert delivery_of(f"{changed}@{domain}", KEY) is None
    for cut in (f"{name[:-1]}@{domain}", f"{name}a@{domain}", "bounces+@shop.test", ""):
        assert delivery_of(cut, KEY) is None


# As Postfix 3.7 and Exchange Online write them, shortened.
POSTFIX = b"""Date: Wed, 25 Nov 2026 16:03:00 +0700 (+07)
From: MAILER-DAEMON@mail.shop.test (Mail Delivery System)
To: bounces@shop.test
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mail.shop.test.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.shop.test
Arrival-Date: Wed, 25 Nov 2026 16:02:59 +0700 (+07)

Final-Recipient: rfc822; an@person.test
Action: %(action)s
Status: %(status)s
Diagnostic-Code: x-unix; user unknown

--b
Content-Type: message/rfc822

Message-ID: <the-id@shop.test>
Subject: Hi

Hello.
--b--
"""


def report(action: bytes, status: bytes) -> Any:
    body = POSTFIX.replace(b"%(action)s", action).replace(b"%(status)s", status)
    return receipts_of(read_mail(body.replace(b"\n", b"\r\n")), UUID(int=1))


@pytest.mark.parametrize(
    ("action", "status", "kind"),
    [
        (b"failed", b"5.1.1", "bounced"),
        (b"Failed (for good)", b"5.1.1 (bad mailbox)", "bounced"),
        (b"failed", b"4.4.7", "failed"),
        (b"failed", b"", "bounced"),
        (b"delayed", b"4.4.1", "other"),
        (b"delivered", b"2.1.5", "delivered"),
        (b"relayed", b"2.1.9", "other"),
        (b"dreamt", b"9.9.9", "other"),
    ],
)
def test_a_report_has_its_kind(action: bytes, status: bytes, kind: str) -> None:
    sent, fate = report(action, status)
    assert (sent.kind, fate.kind) == ("sent", kind)
    assert fate.provider_message_id == "<the-id@shop.test>"
    assert fate.occurred_at == datetime(2026, 11, 25, 9, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff" * 100,
        b"Date: soon\r\n\r\nx",
        b"Content-Type: multipart/report\r\n\r\nno parts",
        (
            b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n"
            b"Content-Type: message/delivery-status\r\n\r\nStatus: 5.1.1\r\n\r\n--b--\r\n"
        ),
        (
            b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n"
            b"Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: base64\r\n\r\n!!\r\n"
        ),
        b"Message-ID: <" + b"x" * 500 + b"@y>\r\nDate: Wed, 99 Nov 2026 99:99:99 +9999\r\n\r\n",
    ],
)
def test_a_report_that_is_none_says_nothing(body: bytes) -> None:
    sent, fate = receipts_of(read_mail(body), UUID(int=1))
    assert (sent.kind, fate.kind) == ("sent", "other")
    assert (fate.provider_message_id, fate.occurred_at) == ("", None)


@pytest.mark.parametrize(
    "html",
    [
        "",
        " ",
        "x",
        "<",
        "<p",
        "&#0;",
        "<?xml version='1.0' encoding='utf-8'?><p>x</p>",
        "<div>" * 5000,
    ],
)
def test_any_page_has_a_text(html: str) -> None:
    assert isinstance(text_of(html), str)
