"""The simulated mail server, spoken to by a library that the channel does not use."""

from __future__ import annotations

import asyncio
import email
import email.policy
import signal
import smtplib
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from libs.simulator.witness import hash_recipient
from tests.contract.simulator.simulators import RECIPIENT_KEY, running_simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.contract.simulator.simulators import Receiver, Simulator

USERNAME, PASSWORD = "shop", "a-password"


@contextmanager
def connected(port: int, *, login: bool = True) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP("127.0.0.1", port, local_hostname="test", timeout=20) as client:
        if login:
            client.login(USERNAME, PASSWORD)
        yield client


@pytest.fixture
async def port(simulator: Simulator, receiver: Receiver) -> int:
    await simulator.set_email_account(USERNAME, password=PASSWORD, webhook_url=receiver.url)
    return await simulator.smtp_port()


def mail(reference: str) -> str:
    return f"Message-ID: <{reference}@shop.test>\r\nSubject: Hi\r\n\r\nHello.\r\n"


async def send(port: int, recipient: str, reference: str = "ord-1", **connection: Any) -> None:
    def talk() -> None:
        with connected(port, **connection) as client:
            client.sendmail("bounces+tag@shop.test", [recipient], mail(reference))

    await asyncio.to_thread(talk)


async def refusal(port: int, recipient: str) -> tuple[int, str]:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        await send(port, recipient)
    ((code, text),) = refused.value.recipients.values()
    return code, text.decode()


async def test_a_message_is_witnessed_and_can_be_looked_at(simulator: Simulator, port: int) -> None:
    reference = str(uuid4())
    await send(port, "an@person.test", reference)
    (row,) = [row for row in simulator.witness() if row["reference"] == reference]
    row.pop("accepted_at")
    assert row == {
        "provider": "email",
        "account": USERNAME,
        "reference": reference,
        "recipient_hash": hash_recipient(RECIPIENT_KEY.encode(), "an@person.test"),
        "template": "",
        "message_id": f"<{reference}@shop.test>",
    }
    assert await simulator.mail(reference) == mail(reference).encode()
    assert (await simulator.state())["providers"]["email"]["accepted"] == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("unknown", (550, "5.1.1 User unknown")),
        ("unknown+x", (550, "5.1.1 User unknown")),
        ("disabled.an", (550, "5.2.1 Mailbox disabled")),
        ("full", (452, "4.2.2 Mailbox full")),
        ("blocked", (554, "5.7.1 Message refused by policy")),
    ],
)
async def test_an_address_says_what_becomes_of_a_message(
    simulator: Simulator, port: int, name: str, expected: tuple[int, str]
) -> None:
    rows = simulator.witness()
    assert await refusal(port, f"{name}@person.test") == expected
    assert simulator.witness() == rows
    assert (await simulator.state())["providers"]["email"]["refused"] == {str(expected[0]): 1}


async def test_a_greylisted_address_is_taken_the_second_time(port: int) -> None:
    assert await refusal(port, "greylisted@person.test") == (
        451,
        "4.7.1 Greylisted, try again later",
    )
    await send(port, "greylisted@person.test")
    assert (await refusal(port, "greylisted.other@person.test"))[0] == 451


async def test_each_recipient_has_a_verdict(simulator: Simulator, port: int) -> None:
    reference = str(uuid4())

    def talk() -> dict[str, tuple[int, bytes]]:
        with connected(port) as client:
            recipients = ["an@person.test", "unknown@person.test"]
            return client.sendmail("a@shop.test", recipients, mail(reference))

    assert (await asyncio.to_thread(talk)) == {"unknown@person.test": (550, b"5.1.1 User unknown")}
    assert sum(row["reference"] == reference for row in simulator.witness()) == 1


async def test_nobody_sends_without_a_login(port: int) -> None:
    with pytest.raises(smtplib.SMTPSenderRefused) as refused:
        await send(port, "an@person.test", login=False)
    assert refused.value.smtp_code == 530

    def log_in() -> None:
        with connected(port, login=False) as client:
            client.login(USERNAME, "wrong")

    with pytest.raises(smtplib.SMTPAuthenticationError) as wrong:
        await asyncio.to_thread(log_in)
    assert wrong.value.smtp_code == 535


async def test_starttls_is_offered(port: int) -> None:
    def talk() -> str | None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with connected(port, login=False) as client:
            client.starttls(context=context)
            client.login(USERNAME, PASSWORD)
            client.sendmail("a@shop.test", ["an@person.test"], mail("ord-tls"))
            assert isinstance(client.sock, ssl.SSLSocket)
            return client.sock.version()

    assert await asyncio.to_thread(talk) == "TLSv1.3"


@pytest.mark.parametrize(
    ("fault", "accepted"),
    [
        ("connection_lost", False),
        ("message_lost", False),
        ("reply_lost", True),
        ("server_error_after", True),
    ],
)
async def test_a_connection_breaks_where_it_is_told_to(
    simulator: Simulator, port: int, fault: str, *, accepted: bool
) -> None:
    reference = str(uuid4())
    await simulator.add_faults({"kind": fault, "count_max": 1})
    with pytest.raises(smtplib.SMTPServerDisconnected):
        await send(port, "an@person.test", reference)
    assert any(row["reference"] == reference for row in simulator.witness()) is accepted
    await send(port, "an@person.test", reference)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "server_error_before"}, (451, "4.3.0 Temporary system problem")),
        ({"kind": "throttled"}, (421, "4.7.0 Too many messages, try again later")),
        ({"kind": "error_code", "code": 550}, (550, "5.1.1 Refused as scripted")),
        (
            {"kind": "error_code", "code": 550, "enhanced_code": "5.7.26"},
            (550, "5.7.26 Refused as scripted"),
        ),
        ({"kind": "error_code", "code": 503}, (503, "5.0.0 Refused as scripted")),
    ],
)
async def test_a_refusal_can_be_scripted(
    simulator: Simulator, port: int, fault: dict[str, Any], expected: tuple[int, str]
) -> None:
    await simulator.add_faults({**fault, "recipient": "an@person.test"})
    await send(port, "binh@person.test")
    assert await refusal(port, "an@person.test") == expected


@pytest.mark.parametrize(
    ("name", "action", "status"),
    [
        ("bounces", "failed", "5.1.1"),
        ("expires", "failed", "4.4.7"),
        ("delays", "delayed", "4.4.1"),
    ],
)
async def test_a_report_is_handed_in_as_a_mail_server_does(
    port: int, receiver: Receiver, name: str, action: str, status: str
) -> None:
    await send(port, f"{name}.an@person.test", "ord-9")
    received = await receiver.next()
    assert received.headers["X-Original-To"] == "bounces+tag@shop.test"
    assert received.headers["Content-Type"] == "message/rfc822"
    report = email.message_from_bytes(received.body, policy=email.policy.default)
    assert report.get_content_type() == "multipart/report"
    assert report["To"] == "bounces+tag@shop.test"
    parts = {part.get_content_type(): part for part in report.walk()}
    fields: Any = parts["message/delivery-status"].get_payload(1)
    assert (fields["Action"], fields["Status"]) == (action, status)
    assert fields["Final-Recipient"] == f"rfc822; {name}.an@person.test"
    assert "<ord-9@shop.test>" in parts["text/rfc822-headers"].get_payload()
    assert all(not part.defects for part in report.walk())


async def test_what_cannot_be_witnessed_is_not_accepted(tmp_path: Path) -> None:
    environment = {"LEO_LOG_LEVEL": "DEBUG", "LEO_SIMULATOR_WITNESS_FILE": "/dev/full"}
    async with running_simulator(tmp_path, **environment) as simulator:
        await simulator.set_email_account(USERNAME, password=PASSWORD)
        with pytest.raises(smtplib.SMTPDataError) as refused:
            await send(await simulator.smtp_port(), "canary@person.test")
        assert refused.value.smtp_code == 451
    log = (tmp_path / "log").read_text()
    assert "dialogue failed" in log
    for secret in ("canary", PASSWORD, "bounces+tag"):
        assert secret not in log


async def test_it_ends_cleanly_with_a_dialogue_that_hangs(tmp_path: Path) -> None:
    async with running_simulator(tmp_path) as simulator:
        await simulator.set_email_account(USERNAME, password=PASSWORD)
        await simulator.add_faults({"kind": "reply_hung"})
        sending = asyncio.create_task(send(await simulator.smtp_port(), "an@person.test"))
        await simulator.wait_for_state(lambda state: state["providers"]["email"]["accepted"] == 1)
        simulator.process.send_signal(signal.SIGTERM)
        assert await simulator.process.wait() == 0
        with pytest.raises(smtplib.SMTPServerDisconnected):
            await sending
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "exception" not in log
