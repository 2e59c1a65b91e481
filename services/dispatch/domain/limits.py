"""Every limit of what comes in, in one place. The protos tell callers the same numbers."""

from __future__ import annotations

DISPATCH_BATCH_COUNT_MAX = 500

TEXT_COUNT_MAX = 50
# Where the channel says nothing else. Measured in NFC: decomposed Vietnamese counts longer.
TEXT_LENGTH_MAX = 2000
PROVIDER_TEMPLATE_ID_LENGTH_MAX = 64

SETTING_COUNT_MAX = 50
SETTING_LENGTH_MAX = 2000
CREDENTIAL_LENGTH_MAX = 8192
CONCURRENT_SEND_COUNT_DEFAULT = 50
CONCURRENT_SEND_COUNT_MAX = 1000

EXT_ID_LENGTH_MAX = 128
# Source: RFC 5321, 4.5.3.1.3, without its angle brackets
ADDRESS_LENGTH_MAX = 254
RECEIPT_BYTES_MAX = 256 * 1024
# Of one transaction: each keeps its body.
RECEIPT_BATCH_COUNT_MAX = 100
HEADER_COUNT_MAX = 50
HEADER_LENGTH_MAX = 8192
