"""What a mailbox provider sends where a person has called a mail spam (RFC 5965)."""

from __future__ import annotations


def complaint_of(return_path: str, feedback_type: str = "abuse") -> bytes:
    """A report about the mail that came from a return path."""
    text = f"""From: <abuse@provider.test>
To: <complaints@shop.test>
Date: Thu, 26 Nov 2026 08:00:00 +0700
Subject: FW: Chào An
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="part"

--part
Content-Type: text/plain; charset="US-ASCII"

This is an email abuse report.

--part
Content-Type: message/feedback-report

Feedback-Type: {feedback_type}
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <{return_path}>
Original-Rcpt-To: <an@person.test>

--part
Content-Type: message/rfc822

From: <hello@shop.test>
To: <an@person.test>
Subject: Chào An
Message-ID: <reported@shop.test>

Cảm ơn!

--part--
"""
    return text.replace("\n", "\r\n").encode()
