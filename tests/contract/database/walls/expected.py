"""Who may do what with which object: the one table of it.

A privilege is written as in GRANT, with its columns where it has any. What is not written here is
refused, and what is written passes: grants.py makes a wall of each, and test_catalogue.py looks
that no grant of any kind stands in the catalogue that is not here. leo_owner, who owns all, and
leo_migrate, who acts as the owner, are left out.
"""

from __future__ import annotations

import re

from libs.postgres import roles
from libs.postgres.roles import AUDITOR, DECISION, DISPATCH, ERASER, FINDER, INGEST, SEGMENT

GRANTED_ROLES = (*roles.SERVICE_ROLES, FINDER, AUDITOR, ERASER)

# The auditor reads all of them, by auditor_reads.
TABLE_GRANTS: dict[str, dict[str, str]] = {
    "tenant": {
        INGEST: "SELECT, INSERT, UPDATE (state)",
        SEGMENT: "SELECT",
        DECISION: "SELECT",
        DISPATCH: "SELECT",
        FINDER: "SELECT (tenant_id, state)",
        ERASER: "SELECT",
    },
    "audit_entry": {
        DECISION: "SELECT",
        FINDER: "SELECT (tenant_id, transaction_id)",
    },
    "audit_seal": {
        DECISION: "SELECT, INSERT",
        FINDER: "SELECT (tenant_id, seq)",
    },
    "marketing_event": {
        INGEST: "SELECT, INSERT",
        DECISION: "SELECT",
        DISPATCH: "SELECT",
        FINDER: "SELECT (tenant_id, transaction_id)",
        ERASER: "SELECT, DELETE",
    },
    "cdp_profiles": {
        INGEST: "SELECT, INSERT, UPDATE",
        SEGMENT: "SELECT",
        DECISION: "SELECT",
        DISPATCH: "SELECT",
        ERASER: "SELECT, UPDATE, DELETE",
    },
    "cdp_profile_version": {
        INGEST: "SELECT, INSERT",
        SEGMENT: "SELECT",
        DECISION: "SELECT",
        DISPATCH: "SELECT",
        ERASER: "SELECT, UPDATE (document), DELETE",
    },
    "profile_consent": {
        INGEST: "SELECT, INSERT, UPDATE",
        SEGMENT: "SELECT",
        DECISION: "SELECT",
        DISPATCH: "SELECT",
        ERASER: "SELECT, UPDATE, DELETE",
    },
    "profile_consent_version": {
        INGEST: "SELECT, INSERT",
        ERASER: "SELECT, UPDATE (evidence, salt), DELETE",
    },
    "segment": {
        SEGMENT: "SELECT, INSERT, UPDATE",
        DECISION: "SELECT",
        ERASER: "SELECT, DELETE",
    },
    "segment_snapshot": {
        SEGMENT: "SELECT, INSERT",
        DECISION: "SELECT",
        DISPATCH: "SELECT (tenant_id, snapshot_id, member_count)",
        ERASER: "SELECT, DELETE",
    },
    "segment_snapshot_member": {
        SEGMENT: "SELECT, INSERT",
        DECISION: "SELECT",
        DISPATCH: "SELECT (tenant_id, snapshot_id, profile_nos)",
        ERASER: "SELECT, DELETE",
    },
    "campaign": {
        DECISION: "SELECT, INSERT, UPDATE",
        ERASER: "SELECT, DELETE",
    },
    "activation_rule": {
        DECISION: "SELECT, INSERT, UPDATE",
        ERASER: "SELECT, DELETE",
    },
    "activation_rule_version": {
        DECISION: "SELECT, INSERT",
        ERASER: "SELECT, DELETE",
    },
    "rule_set": {
        DECISION: "SELECT, INSERT, UPDATE",
        ERASER: "SELECT, DELETE",
    },
    "campaign_launch": {
        DECISION: "SELECT, INSERT, UPDATE (state)",
        DISPATCH: "SELECT (tenant_id, launch_id, snapshot_id, state, removed_count)",
        FINDER: "SELECT (tenant_id, state)",
        ERASER: "SELECT, UPDATE (removed_count), DELETE",
    },
    "agent_task": {
        DECISION: (
            "SELECT, INSERT, UPDATE (state, attempt_count, backend, model_hash, proposal,"
            " reasoning_trace, reasoning_summary, reviewer, reviewed_at)"
        ),
        ERASER: "SELECT, DELETE",
    },
    "decision": {
        INGEST: "SELECT",
        DECISION: "SELECT, INSERT",
        DISPATCH: "SELECT",
        FINDER: "SELECT (tenant_id, transaction_id, outcome)",
        ERASER: "SELECT, UPDATE (inputs, salt), DELETE",
    },
    "relay_watermark": {
        INGEST: "SELECT, INSERT, UPDATE",
        DECISION: "SELECT, INSERT, UPDATE",
        FINDER: "SELECT (tenant_id, hop, position)",
        ERASER: "SELECT",
    },
    "message_template": {
        DECISION: "SELECT",
        DISPATCH: "SELECT, INSERT, UPDATE",
        ERASER: "SELECT, DELETE",
    },
    "channel_account": {
        DECISION: "SELECT (tenant_id, account_id, channel, paused_reason)",
        DISPATCH: "SELECT, INSERT, UPDATE",
        ERASER: "SELECT, DELETE",
    },
    "delivery_log": {
        DECISION: "SELECT",
        DISPATCH: "SELECT, INSERT, UPDATE",
        FINDER: "SELECT (tenant_id, account_id, state, due_at, lease_until)",
        ERASER: "SELECT, UPDATE (recipient_hash), DELETE",
    },
    "delivery_attempt": {
        DECISION: "SELECT",
        DISPATCH: "SELECT, INSERT",
        ERASER: "SELECT, UPDATE (salt), DELETE",
    },
    "delivery_receipt": {
        DECISION: "SELECT",
        DISPATCH: "SELECT, INSERT",
        ERASER: "SELECT, UPDATE (raw), DELETE",
    },
    "suppression": {
        DISPATCH: "SELECT, INSERT, UPDATE (lifted_at, lift_request_id, lift_request_digest)",
        ERASER: "SELECT, DELETE",
    },
}
# Who reads the view, beside the auditor.
VIEW_READERS: dict[str, set[str]] = {
    "v_journey": {DECISION},
    "v_consequence": {DECISION},
    "v_snapshot_member": {SEGMENT, DECISION},
    "v_delivery_reached": {DECISION, DISPATCH},
    "v_ledger_breach": {DECISION, DISPATCH},
    "v_audit_breach": {DECISION},
    "v_sealed_entry": set(),
    "v_removed_rows": set(),
}
# The functions that belong to leo_eraser, and that ingest opens: the one door.
DOOR = (
    "count_tenant_rows_v1",
    "remove_tenant_rows_v1",
    "remove_stories_v1",
    "remove_launches_v1",
    "remove_snapshots_v1",
    "remove_receipts_v1",
    "remove_profile_versions_v1",
    "remove_consent_versions_v1",
)
_SERVICES = set(roles.SERVICE_ROLES)
_LEDGER = {DECISION, DISPATCH, AUDITOR}
# Who calls the function. Procedures are for migrations.
FUNCTION_CALLERS: dict[str, set[str]] = {
    "leo_now": {*_SERVICES, FINDER, AUDITOR, ERASER},
    "enter_tenant_v1": _SERVICES,
    "enter_platform_v1": {INGEST},
    "audit_append_v1": {*_SERVICES, ERASER},
    **{name: {INGEST, ERASER} for name in DOOR},
    # What the door itself calls.
    "tenant_tables_v1": {ERASER},
    "leaf_ranges_v1": {ERASER},
    "record_removal_v1": {ERASER},
    "check_age_v1": {ERASER},
    "first_id_v1": {ERASER},
    "removed_v1": {ERASER},
    "end_batch_v1": {ERASER},
    # What the breach views ask.
    "ledger_breach": _LEDGER,
    "ledger_events_v1": _LEDGER,
    "ledger_decisions_v1": _LEDGER,
    "ledger_flights_v1": _LEDGER,
    "ledger_deliveries_v1": _LEDGER,
    "ledger_cooldowns_v1": _LEDGER,
    "ledger_receipts_v1": _LEDGER,
    "ledger_launches_v1": _LEDGER,
    "ledger_seals_v1": {DECISION, AUDITOR},
}


def granted(kind: str, name: str, role: str) -> dict[str, set[str]]:
    """What `role` may do with one object: privileges, with the columns where they are of some."""
    if kind == "table":
        written = (
            "SELECT"
            if role == AUDITOR and name in TABLE_GRANTS
            else TABLE_GRANTS.get(name, {}).get(role)
        )
    elif kind == "view":
        written = "SELECT" if role in {*VIEW_READERS.get(name, ()), AUDITOR} else None
    elif kind == "function":
        written = "EXECUTE" if role in FUNCTION_CALLERS.get(name, ()) else None
    elif kind == "schema":
        written = "USAGE"
    else:
        written = None
    return {
        privilege: {column for column in columns.split(", ") if column}
        for privilege, columns in re.findall(r"(\w+)(?: \(([^)]+)\))?", written or "")
    }
