"""What is email's own."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from services.dispatch.channels.email.return_path import return_path_of
from services.dispatch.domain.account import Credentials
from services.dispatch.errors import ReceiptRefusedError
from tests.contract.channels.complaints import complaint_of
from tests.contract.channels.rigs import CANARY, EmailRig

if TYPE_CHECKING:
    from services.dispatch.channels.contract import Clients, SendResult
    from tests.contract.simulator.simulators import Received, Receiver, Simulator

PATIENCE = timedelta(seconds=20)
SHORT = timedelta(seconds=0.5)


@pytest.fixture
async def rig(simulator: Simulator, receiver: Receiver) -> EmailRig:
    return await EmailRig.create(simulator, receiver.url)


async def send(rig: EmailRig, clients: Clients, **changes: Any) -> SendResult:
    return await rig.channel.send(rig.message(**changes), rig.account, clients, timeout=PATIENCE)


async def sent(
    rig: EmailRig, clients: Clients, simulator: Simulator, **changes: Any
) -> EmailMessage:
    """What the mail server got, read by the library."""
    message = rig.message(**changes)
    result = await rig.channel.send(message, rig.account, clients, timeout=PATIENCE)
    assert result.kind == "accepted", result
    raw = await simulator.mail(message.reference)
    assert raw.isascii()
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def text(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    content: str = part.get_content()
    return content


async def test_a_mail_has_its_headers_and_both_bodies(
    rig: EmailRig, clients: Clients, simulator: Simulator
) -> None:
    reference = str(uuid4())
    mail = await sent(
        rig,
        clients,
        simulator,
        reference=reference,
        data={
            "subject": "Chào Nguyễn Thị Ánh Tuyết, đơn hàng của bạn đã được giao thành công",
            "html": '<p>Cảm ơn bạn &amp; hẹn gặp lại!</p><a href="https://shop.test/x">Xem</a>',
        },
    )
    assert mail["Subject"] == "Chào Nguyễn Thị Ánh Tuyết, đơn hàng của bạn đã được giao thành công"
    assert mail["From"] == "Cửa hàng Sách <hello@shop.test>"
    assert mail["To"] == "an.nguyen@person.test"
    assert mail["Message-ID"] == f"<{reference}@shop.test>"
    assert mail["Auto-Submitted"] == "auto-generated"
    written = mail["Date"].datetime
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=1)
    assert mail.get_content_type() == "multipart/alternative"
    assert "<p>Cảm ơn bạn &amp; hẹn gặp lại!</p>" in text(mail, "html")
    # Made from the HTML, with its links.
    assert "Cảm ơn bạn & hẹn gặp lại!" in text(mail, "plain")
    assert "https://shop.test/x" in text(mail, "plain")


async def test_a_text_of_ones_own_takes_the_place_of_the_made_one(
    rig: EmailRig, clients: Clients, simulator: Simulator
) -> None:
    data = {"subject": "s", "html": "<p>html</p>", "text": "văn bản"}
    mail = await sent(rig, clients, simulator, data=data)
    assert text(mail, "plain").strip() == "văn bản"


async def test_a_retry_keeps_the_message_id(
    rig: EmailRig, clients: Clients, simulator: Simulator
) -> None:
    reference = str(uuid4())
    ids = [
        (await sent(rig, clients, simulator, reference=reference))["Message-ID"] for _ in range(2)
    ]
    assert ids[0] == ids[1]


async def test_marketing_mail_says_where_to_unsubscribe(
    rig: EmailRig, clients: Clients, simulator: Simulator
) -> None:
    # Longer than a line: no mail program follows one that was broken into encoded words.
    url = f"https://leo.shop.test/unsubscribe/{'x' * 400}"
    message = rig.message(unsubscribe_url=url)
    await rig.channel.send(message, rig.account, clients, timeout=PATIENCE)
    raw = await simulator.mail(message.reference)
    assert f"<{url}>".encode() in raw
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail["List-Unsubscribe"].strip() == f"<{url}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    mail = await sent(rig, clients, simulator, purpose="transactional")
    assert "List-Unsubscribe" not in mail
    assert "List-Unsubscribe-Post" not in mail


async def test_marketing_mail_without_such_a_link_waits_for_a_person(
    rig: EmailRig, clients: Clients
) -> None:
    result = await send(rig, clients, unsubscribe_url="")
    assert (result.kind, result.code) == ("retry_at", "unsubscribe_unset")
    assert result.pauses_account
    assert "LEO_UNSUBSCRIBE_URL" in result.reason
    assert (await send(rig, clients, unsubscribe_url="", purpose="transactional")).kind == (
        "accepted"
    )


@pytest.mark.parametrize("gap", ["\r\n", "\n", "\r", "\x0b", "\x00", "\u2028", "\x85"])
async def test_no_value_begins_another_header(
    simulator: Simulator, clients: Clients, gap: str
) -> None:
    injected = f"x{gap}Bcc: victim@person.test{gap}{gap}body"
    rig = await EmailRig.create(simulator, from_name=injected)
    message = rig.message(data={"subject": injected, "html": "<p>x</p>"})
    result = await rig.channel.send(message, rig.account, clients, timeout=PATIENCE)
    assert result.kind == "accepted"
    mail = email.message_from_bytes(
        await simulator.mail(message.reference), policy=email.policy.default
    )
    assert "Bcc" not in mail
    assert mail["Subject"] == "x Bcc: victim@person.test body"
    assert mail["From"].addresses[0].display_name == "x Bcc: victim@person.test body"
    assert sorted(mail.keys()) == sorted(
        {
            "Auto-Submitted",
            "Content-Type",
            "Date",
            "From",
            "List-Unsubscribe",
            "List-Unsubscribe-Post",
            "MIME-Version",
            "Message-ID",
            "Subject",
            "To",
        }
    )


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "an",
        "an@",
        "@person.test",
        "an@@person.test",
        "an nguyen@person.test",
        "an@person.test\r\nRCPT TO:<victim@person.test>",
        "an@person.test>, <victim@person.test",
        "+84901234567",
        "ánh@person.test",
        f"{'a' * 65}@person.test",
        "an@localhost",
    ],
)
async def test_junk_is_refused_and_the_next_one_goes(
    rig: EmailRig, clients: Clients, simulator: Simulator, recipient: str
) -> None:
    result = await send(rig, clients, recipient=recipient)
    assert (result.kind, result.provider_class, result.code) == (
        "rejected",
        "P",
        "address_invalid",
    )
    assert result.reason
    assert (await simulator.state())["providers"]["email"]["accepted"] == 0
    assert (await send(rig, clients)).kind == "accepted"


async def test_a_domain_of_another_script_goes_in_punycode(
    rig: EmailRig, clients: Clients, simulator: Simulator
) -> None:
    mail = await sent(rig, clients, simulator, recipient="an@cửahàng.test")
    assert mail["To"] == "an@xn--cahng-tqa2694c.test"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"reference": "ord-1"}, "reference_invalid"),
        ({"data": {"subject": " \n ", "html": "<p>x</p>"}}, "text_empty"),
        ({"data": {"subject": "x", "html": ""}}, "text_empty"),
        ({"data": {"html": "<p>x</p>"}}, "text_empty"),
    ],
)
async def test_what_is_no_message_is_refused(
    rig: EmailRig, clients: Clients, changes: dict[str, Any], code: str
) -> None:
    result = await send(rig, clients, **changes)
    assert (result.kind, result.provider_class, result.code) == ("rejected", "C", code)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("unknown", ("rejected", "P", "550 5.1.1")),
        ("disabled", ("rejected", "P", "550 5.2.1")),
        ("full", ("retry_at", "R", "452 4.2.2")),
        ("blocked", ("rejected", "C", "554 5.7.1")),
        ("greylisted", ("retry_at", "R", "451 4.7.1")),
    ],
)
async def test_a_verdict_has_its_class(
    rig: EmailRig, clients: Clients, simulator: Simulator, name: str, expected: tuple[str, str, str]
) -> None:
    message = rig.message(recipient=f"{name}.an@person.test")
    result = await rig.channel.send(message, rig.account, clients, timeout=PATIENCE)
    assert (result.kind, result.provider_class, result.code) == expected
    assert result.suppresses_recipient == (name in {"unknown", "disabled"})
    assert not any(row["reference"] == message.reference for row in simulator.witness())


async def test_greylisting_names_a_time_and_passes(rig: EmailRig, clients: Clients) -> None:
    recipient = f"greylisted.{uuid4().hex}@person.test"
    result = await send(rig, clients, recipient=recipient)
    assert result.retry_at is not None
    assert timedelta(minutes=4) < result.retry_at - datetime.now(UTC) <= timedelta(minutes=5)
    assert (await send(rig, clients, recipient=recipient)).kind == "accepted"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("connection_lost", ("retry_at", "R", "not_sent_lost", 0)),
        ("message_lost", ("unknown", "AMB", "no_answer_lost", 0)),
        ("reply_lost", ("unknown", "AMB", "no_answer_lost", 1)),
        ("reply_truncated", ("unknown", "AMB", "no_answer_lost", 1)),
        ("server_error_after", ("unknown", "AMB", "no_answer_lost", 1)),
        ("throttled", ("retry_at", "RL", "421 4.7.0", 0)),
    ],
)
async def test_what_breaks_is_told_by_its_step(
    rig: EmailRig,
    clients: Clients,
    simulator: Simulator,
    fault: str,
    expected: tuple[str, str, str, int],
) -> None:
    await simulator.add_faults({"kind": fault, "count_max": 1})
    message = rig.message()
    result = await rig.channel.send(message, rig.account, clients, timeout=PATIENCE)
    rows = [row for row in simulator.witness() if row["reference"] == message.reference]
    assert (result.kind, result.provider_class, result.code, len(rows)) == expected
    assert (await send(rig, clients)).kind == "accepted"


async def test_a_wrong_password_pauses_the_account(rig: EmailRig, clients: Clients) -> None:
    wrong = Credentials({**rig.account.credentials, "password": "wrong"})
    account = replace(rig.account, credentials=wrong)
    result = await rig.channel.send(rig.message(), account, clients, timeout=PATIENCE)
    assert (result.kind, result.provider_class, result.code) == ("retry_at", "T", "535 5.7.8")
    assert result.pauses_account


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"certificate_check": "on"}, "not_sent_tls"),
        ({"host": "192.0.2.1", "security": "plain"}, "not_sent_unprotected"),
        ({"host": "nobody.invalid", "certificate_check": "on"}, "not_sent_name"),
        ({"username": ""}, "530 5.7.0"),
    ],
)
async def test_an_account_that_cannot_send(
    rig: EmailRig, clients: Clients, settings: dict[str, str], code: str
) -> None:
    account = replace(rig.account, settings={**rig.account.settings, **settings})
    result = await rig.channel.send(rig.message(), account, clients, timeout=PATIENCE)
    assert (result.kind, result.code) == ("retry_at", code)
    assert result.pauses_account is (code in {"not_sent_unprotected", "530 5.7.0"})


def lower(received: Received) -> dict[str, str]:
    return {name.lower(): value for name, value in received.headers.items()}


@pytest.mark.parametrize(
    ("name", "kind", "suppresses"),
    [("bounces", "bounced", True), ("expires", "failed", False), ("delays", "other", False)],
)
async def test_a_report_says_what_became_of_a_message(
    rig: EmailRig, clients: Clients, receiver: Receiver, name: str, kind: str, *, suppresses: bool
) -> None:
    message = rig.message(recipient=f"{name}.an@person.test")
    result = await rig.channel.send(message, rig.account, clients, timeout=PATIENCE)
    assert result.kind == "accepted"
    received = await receiver.next()
    # With the header of our own mail server, and without.
    for headers in (lower(received), {}):
        receipts = rig.channel.read_receipt(received.body, headers, rig.account)
        assert [receipt.kind for receipt in receipts] == ["sent", kind]
        assert [receipt.suppresses_recipient for receipt in receipts] == [False, suppresses]
        for receipt in receipts:
            assert receipt.delivery_id == UUID(message.reference)
            assert receipt.provider_message_id == result.provider_message_id


@pytest.mark.parametrize("status", ["5.7.1", "5.3.4", "5.2.2", "5.0.0", "", "5.1.1x", "5.1"])
async def test_a_report_that_does_not_say_for_good_suppresses_nobody(
    rig: EmailRig, clients: Clients, receiver: Receiver, status: str
) -> None:
    await rig.channel.send(
        rig.message(recipient="bounces.an@person.test"), rig.account, clients, timeout=PATIENCE
    )
    body = (await receiver.next()).body
    changed = body.replace(b"Status: 5.1.1", f"Status: {status}".encode())
    assert changed != body
    _, fate = rig.channel.read_receipt(changed, {}, rig.account)
    assert (fate.kind, fate.suppresses_recipient) == ("bounced", False)


@pytest.mark.parametrize(
    ("feedback_type", "kind", "suppresses"),
    [
        ("abuse", "complained", True),
        ("Abuse", "complained", True),
        ("not-spam", "other", False),
        ("fraud", "other", False),
        ("", "other", False),
    ],
)
async def test_a_complaint_is_about_the_mail_that_it_brings_back(
    rig: EmailRig, feedback_type: str, kind: str, *, suppresses: bool
) -> None:
    delivery_id = uuid4()
    return_path = return_path_of(
        delivery_id, rig.account.settings, rig.account.credentials["bounce_key"]
    )
    sent, fate = rig.channel.read_receipt(complaint_of(return_path, feedback_type), {}, rig.account)
    assert sent.kind == "sent"
    assert (fate.kind, fate.suppresses_recipient) == (kind, suppresses)
    assert fate.delivery_id == delivery_id
    assert fate.provider_message_id == "<reported@shop.test>"
    with pytest.raises(ReceiptRefusedError):
        rig.channel.read_receipt(complaint_of("bounces@shop.test"), {}, rig.account)


async def test_an_absence_notice_says_that_the_mail_system_has_it(
    rig: EmailRig, clients: Clients, receiver: Receiver
) -> None:
    await rig.channel.send(rig.told(), rig.account, clients, timeout=PATIENCE)
    return_path = (await receiver.next()).headers["X-Original-To"]
    notice = f"From: an@person.test\r\nTo: {return_path}\r\nSubject: Vắng mặt\r\n\r\nTôi nghỉ."
    receipts = rig.channel.read_receipt(notice.encode(), {}, rig.account)
    assert [receipt.kind for receipt in receipts] == ["sent", "other"]
    for receipt in receipts:
        assert receipt.delivery_id is not None
        assert receipt.occurred_at is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00",
        b"To: bounces@shop.test\r\n\r\n",
        b"To: bounces+" + b"a" * 42 + b"@shop.test\r\n\r\n",
        b"Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\n",
        b"Content-Type: multipart/report\r\n" * 1000,
    ],
)
def test_what_names_no_return_path_of_ours_is_refused(rig: EmailRig, body: bytes) -> None:
    with pytest.raises(ReceiptRefusedError):
        rig.channel.read_receipt(body, {"x-original-to": CANARY}, rig.account)
