"""A mail server: it takes messages by SMTP, delivers none, and reports what it could not deliver.

It answers as Postfix does. What a recipient's address says decides what becomes of a message, as
with the addresses that mail providers offer for tests.
"""

from __future__ import annotations

from libs.simulator.providers.email.provider import MailServer

PROVIDER = MailServer
