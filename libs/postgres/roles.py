"""The roles of the database; migrations/bootstrap_server.sql says what each may do."""

from __future__ import annotations

from typing import Final

OWNER: Final = "leo_owner"
MIGRATE: Final = "leo_migrate"
INGEST: Final = "leo_ingest"
SEGMENT: Final = "leo_segment"
DECISION: Final = "leo_decision"
DISPATCH: Final = "leo_dispatch"
FINDER: Final = "leo_finder"
AUDITOR: Final = "leo_auditor"
ERASER: Final = "leo_eraser"

SERVICE_ROLES: Final = (INGEST, SEGMENT, DECISION, DISPATCH)
# Each has a password of its own.
LOGIN_ROLES: Final = (MIGRATE, *SERVICE_ROLES, FINDER, AUDITOR)
