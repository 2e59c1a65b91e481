"""The report (DSN, RFC 3464) that a mail system sends to a message's return path."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from libs.simulator.webhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libs.simulator.providers.email.verdicts import Report
    from libs.simulator.witness import Message

HOST = "mail.simulator.test"
# As long as a mail server waits before it runs the command again that takes its reports.
RETRY_INTERVALS_SECONDS = (300.0, 600.0, 1200.0, 2400.0)
TIMEOUT_SECONDS = 10.0
HEADERS_END = re.compile(rb"\r?\n\r?\n")


def build_report(
    report: Report, message: Message, *, return_path: str, content: bytes, url: str
) -> Webhook:
    """Make the call that hands a report in, as the command of a mail server does."""
    body = _report(report, message.recipient, return_path, content)

    def render(_retry: int) -> tuple[bytes, Mapping[str, str]]:
        return body, {"Content-Type": "message/rfc822", "X-Original-To": return_path}

    return Webhook(
        provider=message.provider,
        account=message.account,
        url=url,
        render=render,
        retry_intervals_seconds=RETRY_INTERVALS_SECONDS,
        timeout_seconds=TIMEOUT_SECONDS,
    )


def _report(report: Report, recipient: str, return_path: str, content: bytes) -> bytes:
    boundary = uuid4().hex
    now = format_datetime(datetime.now(UTC))
    headers = HEADERS_END.split(content, maxsplit=1)[0].decode("ascii", "replace")
    # Written by hand: whoever reads it has a library for it.
    text = f"""Return-Path: <>
Date: {now}
From: MAILER-DAEMON@{HOST} (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: {return_path}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="{boundary}"

--{boundary}
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

<{recipient}>: {report.diagnostic}

--{boundary}
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; {HOST}
Arrival-Date: {now}

Final-Recipient: rfc822; {recipient}
Original-Recipient: rfc822;{recipient}
Action: {report.action}
Status: {report.status}
Diagnostic-Code: smtp; {report.diagnostic}

--{boundary}
Content-Description: Undelivered Message Headers
Content-Type: text/rfc822-headers

{headers}

--{boundary}--
"""
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode()
