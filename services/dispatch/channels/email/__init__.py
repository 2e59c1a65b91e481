"""Email by SMTP, through the tenant's own mail server or relay.

A mail server takes no key that would make a repeat harmless. Of a message that it took it says more
only where it could not deliver it: in a report (DSN) to the message's return path.
"""

from __future__ import annotations

from typing import Final

from services.dispatch.channels.email.channel import Email

CHANNEL: Final = Email()
