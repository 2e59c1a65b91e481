"""Every limit of what comes in, in one place. The protos tell callers the same numbers."""

from __future__ import annotations

from datetime import timedelta

EVENT_BATCH_COUNT_MAX = 500
PROFILE_BATCH_COUNT_MAX = 100

SOURCE_EVENT_ID_LENGTH_MAX = 200
EXT_ID_LENGTH_MAX = 128
TEXT_LENGTH_MAX = 200
EVIDENCE_LENGTH_MAX = 500
SOURCE_REVISION_LENGTH_MAX = 64
PUSH_ADDRESS_LENGTH_MAX = 4096

PROPERTIES_BYTES_MAX = 16 * 1024
ATTRIBUTES_BYTES_MAX = 64 * 1024
DOCUMENT_BYTES_MAX = 256 * 1024
MONEY_VND_MAX = 2**63 - 1

EMAIL_COUNT_MAX = 10
PHONE_COUNT_MAX = 10
PUSH_ADDRESS_COUNT_MAX = 20
LABEL_COUNT_MAX = 200
SEGMENT_COUNT_MAX = 500
HINT_COUNT_MAX = 50

EVENT_AGE_MAX = timedelta(days=3 * 366)
# Clocks of clients run ahead; an event further in the future is a wrong unit or a wrong year.
CLOCK_AHEAD_MAX = timedelta(minutes=10)
# A table of a tenant is counted up to here before it is removed: enough to see what one is about.
ROW_COUNT_MAX = 1_000_000
