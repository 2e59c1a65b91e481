"""The codes that Zalo gives for template messages by phone, as far as this simulator gives them.

Source: https://zalo.cloud/zns/guidelines/handle-error-code
"""

from __future__ import annotations

RATE_LIMITED = -32
METHOD_UNSUPPORTED = -106
PHONE_INVALID = -108
TEMPLATE_INVALID = -109
DATA_EMPTY = -111
DATA_INVALID = -112
BALANCE_SPENT = -115
DATA_TOO_LONG = -1121
DATA_MISSING = -1122
DATA_MISFORMATTED = -1124
TOKEN_INVALID = -124
DEVELOPMENT_RECIPIENT = -127
TEMPLATE_NOT_APPROVED = -131
NIGHT = -133
OA_QUOTA_SPENT = -144
TEMPLATE_DISABLED = -146
TEMPLATE_QUOTA_SPENT = -147

MESSAGES = {
    0: "Success",
    RATE_LIMITED: "Application reached the limit of calls per minute",
    METHOD_UNSUPPORTED: "Method unsupported",
    PHONE_INVALID: "Phone number invalid",
    TEMPLATE_INVALID: "Template ID invalid",
    DATA_EMPTY: "Template data empty",
    DATA_INVALID: "Template data invalid",
    BALANCE_SPENT: "Out of balance",
    DATA_TOO_LONG: "Template data length invalid",
    DATA_MISSING: "Template data missing",
    DATA_MISFORMATTED: "Template data format invalid",
    TOKEN_INVALID: "Access token invalid",
    DEVELOPMENT_RECIPIENT: "Development mode sends to admins of the app or OA only",
    TEMPLATE_NOT_APPROVED: "Template not approved",
    NIGHT: "Not allowed to send at night",
    OA_QUOTA_SPENT: "OA daily quota exceeded",
    TEMPLATE_DISABLED: "Template disabled for low quality",
    TEMPLATE_QUOTA_SPENT: "Template daily quota exceeded",
}


class RefusalError(Exception):
    """The message is not accepted."""

    def __init__(self, code: int) -> None:
        super().__init__(MESSAGES[code])
        self.code = code
