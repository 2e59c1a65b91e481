"""Which statements are asked, with which values; and which are not, and why.

A new statement in a queries.sql needs a line here: test_plans.py looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from libs.postgres import roles
from tests.contract.plans.sample import COUNT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.contract.plans.sample import Sample

INGEST: Final = "services/ingest/store"
REMOVAL: Final = "services/ingest/removal"
SEGMENT: Final = "services/segment/store"
DECISION: Final = "services/decision/store"
SEALER: Final = "services/decision/sealer"
DISPATCH: Final = "services/dispatch"
MACHINE: Final = "services/dispatch/machine"
RELAY: Final = "libs/relay"
VERIFY: Final = "libs/audit/verify"
BENCH: Final = "libs/bench"

_FIRST: Final = UUID(int=0)
_LAST: Final = UUID(int=2**128 - 1)
_HASH: Final = bytes(32)
# Of the busy person of the small tenant: an event each hour.
BUSY_COUNT: Final = 202
# What a tenant has of campaigns, rules, templates, segments and launches in data.sql.
MANAGED_COUNT: Final = 200
TENANT_COUNT: Final = 11


@dataclass(frozen=True, slots=True)
class Case:
    """One statement, asked.

    Attributes:
        row_count_max: so many rows a step may read of a table that is not small, and so often it
            may search an index.
        values: of its parameters; tenant_id is known.
        role: as whom; None for the service that the file belongs to.
        tenants: of which samples; a statement across tenants takes the first one's values.
        across: as leo_finder or leo_auditor, in no tenant's context.
        along_indexes: asked behind plan_along_indexes.
        planned_for_values: it always is, because it is put together when it runs.
    """

    file: str
    name: str
    row_count_max: int
    values: Callable[[Sample], Mapping[str, Any]] = lambda _: {}
    role: str | None = None
    tenants: tuple[str, ...] = ("small", "large")
    across: bool = False
    along_indexes: bool = False
    planned_for_values: bool = False

    @property
    def key(self) -> str:
        """For messages and for the list of those that are not asked."""
        return f"{self.file}:{self.name}"

    @property
    def asking_role(self) -> str:
        """The role that asks."""
        return self.role or ROLES[self.file]


ROLES: Final = {
    INGEST: roles.INGEST,
    REMOVAL: roles.INGEST,
    SEGMENT: roles.SEGMENT,
    DECISION: roles.DECISION,
    SEALER: roles.DECISION,
    DISPATCH: roles.DISPATCH,
    MACHINE: roles.DISPATCH,
    RELAY: roles.INGEST,
    VERIFY: roles.AUDITOR,
}


def _finder(file: str, name: str, row_count_max: int, **values: Any) -> Case:
    return Case(
        file,
        name,
        row_count_max,
        lambda s: {"tenant_id": s.tenant_id} | values,
        role=roles.FINDER,
        tenants=("small",),
        across=True,
    )


def _retention(name: str, row_count_max: int) -> Case:
    return Case(
        REMOVAL,
        name,
        row_count_max,
        lambda _: {
            "entry_id": uuid4(),
            "before": datetime.now(UTC) - timedelta(days=31),
            "after": _FIRST,
            "count_max": COUNT,
        },
    )


def _hashes(sample: Sample) -> list[bytes]:
    """The addresses of people, as data.sql has them."""
    return [sha256(profile_id.bytes).digest() for profile_id in sample.profile_ids]


def _addresses(sample: Sample) -> dict[str, Any]:
    return {
        "channel": "zalo-template",
        "key_ids": ["k2"] * len(sample.profile_ids),
        "hashes": _hashes(sample),
    }


INGEST_CASES: Final = (
    Case(INGEST, "select_events", COUNT, lambda s: {"event_ids": s.event_ids}),
    Case(INGEST, "select_profile_versions", COUNT, lambda s: {"ext_ids": s.ext_ids}),
    Case(INGEST, "select_profile", 1, lambda s: {"ext_id": s.ext_ids[0]}),
    Case(INGEST, "lock_profile", 1, lambda s: {"ext_id": s.ext_ids[0]}),
    Case(INGEST, "select_consents", 2, lambda s: {"profile_id": s.profile_ids[0]}),
    Case(INGEST, "select_consent_of_request", 1, lambda s: {"request_id": s.consent_request_id}),
    Case(INGEST, "count_tenant_rows", 100, lambda _: {"count_max": 100}),
    _finder(REMOVAL, "has_lease", TENANT_COUNT * 10),
    # What it does not find in one table, it looks for in the next.
    Case(
        REMOVAL,
        "remove_tenant_rows",
        COUNT,
        lambda _: {"entry_id": uuid4(), "count_max": COUNT},
        tenants=("removed",),
        planned_for_values=True,
    ),
    # COUNT decisions, deliveries with two attempts each; and which launches were counted down.
    _retention("remove_stories", MANAGED_COUNT),
    _retention("remove_snapshots", MANAGED_COUNT),
    _retention("remove_receipts", COUNT),
    # The busy person's decisions are asked, whether they name a version.
    _retention("remove_profile_versions", COUNT + BUSY_COUNT),
    _retention("remove_consent_versions", 2 * COUNT),
)

SEGMENT_CASES: Final = (
    Case(
        SEGMENT,
        "select_segments",
        COUNT,
        lambda _: {"after_name": "", "count_max": COUNT},
        along_indexes=True,
    ),
    Case(
        SEGMENT,
        "select_candidates",
        500,
        lambda s: {"after_profile_no": s.profile_no, "count_max": 500},
        along_indexes=True,
    ),
    Case(SEGMENT, "select_granted_consents", 2 * COUNT, lambda s: {"profile_ids": s.profile_ids}),
    Case(
        SEGMENT,
        "select_members",
        COUNT,
        lambda s: {"snapshot_id": s.snapshot_id, "first": 500, "last": 500 + COUNT - 1},
    ),
    # Over the border of two chunks.
    Case(
        SEGMENT,
        "select_members",
        COUNT,
        lambda s: {"snapshot_id": s.snapshot_id, "first": 9980, "last": 9980 + COUNT - 1},
        tenants=("large",),
    ),
)

DECISION_CASES: Final = (
    Case(
        DECISION,
        "list_rules",
        MANAGED_COUNT,
        lambda _: {
            "campaign_id": None,
            "after_priority": None,
            "after_name": "",
            "after_rule_id": None,
            "count_max": COUNT,
        },
    ),
    Case(DECISION, "select_active_rules", MANAGED_COUNT),
    Case(DECISION, "select_decisions", COUNT, lambda s: {"event_ids": s.event_ids}),
    Case(DECISION, "select_events", COUNT, lambda s: {"event_ids": s.event_ids}),
    Case(DECISION, "has_event", 1, lambda s: {"event_id": s.event_ids[0]}),
    Case(DECISION, "select_people", COUNT, lambda s: {"ext_ids": s.ext_ids}),
    Case(DECISION, "select_consents", 2 * COUNT, lambda s: {"profile_ids": s.profile_ids}),
    Case(
        DECISION,
        "select_last_acted",
        # All that was decided about these people may be looked through.
        COUNT + BUSY_COUNT + 2 * COUNT,
        lambda s: {"rule_ids": [UUID(int=1)], "profile_ids": s.profile_ids},
    ),
    Case(
        DECISION,
        "select_journey",
        10,
        lambda s: {"event_id": s.event_ids[0]},
        along_indexes=True,
    ),
    Case(
        DECISION,
        "list_audit_entries",
        COUNT,
        lambda _: {
            "kind": "",
            "actor": "",
            "created_from": None,
            "created_until": None,
            "before_created_at": datetime.now(UTC) - timedelta(days=10),
            "before_entry_id": _LAST,
            "count_max": COUNT,
        },
        along_indexes=True,
    ),
    # All that a tenant ever launched: people do that.
    Case(
        DECISION,
        "select_launches",
        MANAGED_COUNT + 1,
        lambda _: {"launch_id": None, "campaign_id": None, "before": None, "count_max": COUNT},
    ),
    # The whole answer stands in the index: half of the tenant's people are decided about.
    Case(DECISION, "count_outcomes", 5500, lambda s: {"launch_id": s.launch_id}),
    _finder(DECISION, "find_tenants_to_launch", TENANT_COUNT),
    Case(DECISION, "select_running_launches", 1),
    Case(DECISION, "select_launch_to_decide", 1, lambda s: {"launch_id": s.launch_id}),
    # Those who are decided about are passed over, and the others found.
    *(
        Case(
            DECISION,
            "select_members",
            COUNT,
            lambda s, first=first: {  # type: ignore[misc]
                "snapshot_id": s.snapshot_id,
                "launch_id": s.launch_id,
                "first": first,
                "last": first + COUNT - 1,
                "stride": 1,
            },
        )
        for first in (0, 900)
    ),
    Case(
        DECISION,
        "count_waiting",
        100,
        lambda s: {"account_ids": [s.account_id], "count_max": 100},
    ),
    Case(DECISION, "finish_launch", 1, lambda s: {"launch_id": s.launch_id}),
)

AUDIT_CASES: Final = (
    _finder(SEALER, "find_tenants_to_seal", TENANT_COUNT),
    _finder(SEALER, "find_heads", TENANT_COUNT),
    Case(SEALER, "read_position", 1),
    Case(
        SEALER,
        "select_unsealed",
        20,
        lambda s: {"position": s.position, "count_max": 1000},
    ),
    Case(SEALER, "select_hash", 1, lambda _: {"seq": 10}),
    Case(
        VERIFY,
        "select_delivery",
        2 * TENANT_COUNT,
        lambda s: {"delivery_id": s.delivery_ids[0]},
        across=True,
    ),
    Case(
        VERIFY,
        "select_entry",
        1,
        lambda s: {"entry_id": s.entry_id},
        across=True,
    ),
    Case(
        VERIFY,
        "select_digests",
        100,
        lambda _: {"after_seq": 100, "last_seq": 200},
        across=True,
    ),
)

RELAY_CASES: Final = (
    _finder(RELAY, "find_tenants_to_activate", TENANT_COUNT),
    _finder(RELAY, "find_tenants_to_dispatch", TENANT_COUNT),
    Case(
        RELAY,
        "select_events_without_decision",
        20,
        lambda s: {"position": s.position, "grace": timedelta(0), "count_max": 500},
    ),
    Case(
        RELAY,
        "select_decisions_without_delivery",
        20,
        lambda s: {"position": s.position, "grace": timedelta(0), "count_max": 500},
        role=roles.DECISION,
    ),
)

DISPATCH_CASES: Final = (
    Case(DISPATCH, "select_decisions", COUNT, lambda s: {"decision_ids": s.decision_ids}),
    Case(DISPATCH, "select_delivery_ids", COUNT, lambda s: {"dedupe_keys": s.dedupe_keys}),
    Case(
        DISPATCH,
        "select_deliveries",
        COUNT,
        lambda s: {"delivery_ids": s.delivery_ids, "reached": ["sent", "delivered"]},
    ),
    Case(
        DISPATCH,
        "list_delivery_ids",
        COUNT,
        lambda _: {"before": _LAST, "state": None, "count": COUNT},
        along_indexes=True,
    ),
    # Some states are rare: whoever asks for them reads what lies between.
    Case(
        DISPATCH,
        "list_delivery_ids",
        10 * COUNT,
        lambda _: {"before": _LAST, "state": "outcome_unknown", "count": 5},
        along_indexes=True,
    ),
    Case(
        DISPATCH,
        "list_delivery_ids_of_profile",
        5,
        lambda s: {
            "profile_id": s.profile_ids[0],
            "before": _LAST,
            "state": None,
            "count": COUNT,
        },
    ),
    Case(DISPATCH, "select_attempts", 2, lambda s: {"delivery_id": s.delivery_ids[0]}),
    Case(DISPATCH, "select_receipts", 1, lambda s: {"delivery_id": s.delivery_ids[0]}),
    Case(DISPATCH, "select_document", 1, lambda s: {"ext_id": s.ext_ids[0]}),
    Case(DISPATCH, "select_event", 1, lambda s: {"event_id": s.event_ids[0]}),
    Case(DISPATCH, "lock_deliveries", COUNT, lambda s: {"delivery_ids": s.delivery_ids}),
    Case(
        DISPATCH,
        "insert_suppressions_of_deliveries",
        COUNT,
        lambda s: {
            "suppression_ids": [uuid4() for _ in s.delivery_ids],
            "delivery_ids": s.delivery_ids,
            "causes": ["rejected"] * len(s.delivery_ids),
            "source": "delivery",
        },
    ),
    Case(DISPATCH, "select_suppressed", COUNT, _addresses),
    Case(
        DISPATCH,
        "lift_suppressions",
        COUNT,
        lambda s: (
            _addresses(s) | {"request_id": uuid4(), "request_digests": [_HASH] * len(s.profile_ids)}
        ),
    ),
    Case(
        DISPATCH,
        "select_suppressions_of_request",
        1,
        lambda s: {"request_id": s.profile_ids[0]},
    ),
    Case(
        DISPATCH,
        "select_suppressions_of_lift_request",
        1,
        lambda s: {"request_id": s.profile_ids[0]},
    ),
    # What was lifted meanwhile is read over.
    Case(
        DISPATCH,
        "list_suppressions",
        2 * COUNT,
        lambda _: {"before": _LAST, "count": COUNT},
        along_indexes=True,
    ),
    Case(
        DISPATCH,
        "list_suppressions_of_recipient",
        COUNT,
        lambda s: _addresses(s) | {"before": _LAST, "count": COUNT},
    ),
)

MACHINE_CASES: Final = (
    _finder(MACHINE, "find_due", 2 * TENANT_COUNT),
    _finder(MACHINE, "find_expired_leases", TENANT_COUNT),
    # From key to key, of which there are two here, and once more behind the last.
    Case(MACHINE, "select_account", 3, lambda s: {"account_id": s.account_id}),
    Case(
        MACHINE,
        "select_due",
        COUNT,
        lambda s: {"account_id": s.account_id, "only": None, "count_max": COUNT},
    ),
    Case(
        MACHINE,
        "select_due_ids",
        COUNT,
        lambda s: {"account_id": s.account_id, "count_max": COUNT},
        along_indexes=True,
    ),
    # Of a person's addresses, each is looked for under each key.
    Case(
        MACHINE,
        "start_sending",
        2 * COUNT,
        lambda s: {
            "lease": timedelta(seconds=15),
            "channel": "zalo-template",
            "active_key_id": "k2",
            "delivery_ids": s.pending_ids * 2,
            "key_ids": ["k1"] * len(s.pending_ids) + ["k2"] * len(s.pending_ids),
            "hashes": _hashes(s)[: len(s.pending_ids)] * 2,
        },
    ),
    Case(
        MACHINE,
        "select_ended_by_lease",
        2 * COUNT,
        lambda s: {
            "delivery_ids": s.delivery_ids,
            "attempts": [1] * len(s.delivery_ids),
            "lease_code": "lease",
        },
    ),
    # Where a tenant has few open messages, they may all be looked at.
    Case(
        MACHINE,
        "move_deliveries",
        3 * COUNT,
        lambda s: {
            "delivery_ids": s.pending_ids,
            "epochs": [1] * len(s.pending_ids),
            "states": ["accepted"] * len(s.pending_ids),
            "reasons": [""] * len(s.pending_ids),
            "in_doubts": [False] * len(s.pending_ids),
            "due_ats": [None] * len(s.pending_ids),
            "provider_message_ids": [""] * len(s.pending_ids),
        },
    ),
    Case(
        MACHINE,
        "select_decisions_of_ended",
        COUNT,
        lambda s: {"delivery_ids": s.delivery_ids, "states": ["failed", "accepted"]},
    ),
    Case(MACHINE, "lock_deliveries", COUNT, lambda s: {"delivery_ids": s.delivery_ids}),
    Case(MACHINE, "select_expired", 15, lambda _: {"count_max": COUNT}),
    Case(MACHINE, "select_evidence", 2 * COUNT, lambda s: {"delivery_ids": s.delivery_ids}),
    Case(MACHINE, "select_proved", COUNT, lambda s: {"delivery_ids": s.doubtful_ids}),
    Case(
        MACHINE,
        "count_failure",
        1,
        lambda s: {"delivery_id": s.pending_ids[0], "reason": "test"},
    ),
    Case(
        MACHINE,
        "postpone",
        1,
        lambda s: {
            "delivery_id": s.pending_ids[0],
            "reason": "test",
            "pause": timedelta(seconds=1),
        },
    ),
)

BENCH_CASES: Final = (
    # Of the busy person of the small tenant; each partition is asked for its newest first.
    Case(
        BENCH,
        "events_of_profile",
        30,
        lambda s: {
            "ext_id": s.ext_ids[0],
            "since": datetime.now(UTC) - timedelta(days=30),
            "count_max": 30,
        },
        role=roles.DECISION,
    ),
)

CASES: Final = (
    *BENCH_CASES,
    *INGEST_CASES,
    *SEGMENT_CASES,
    *DECISION_CASES,
    *AUDIT_CASES,
    *RELAY_CASES,
    *DISPATCH_CASES,
    *MACHINE_CASES,
)

_GIVEN = "writes what it is given, and reads no more than its key to see whether it is there"
_KEY = "one row of a table that people fill by hand, by its key"
_LOCK = "asks for a lock, and no table"
_PLATFORM = "a tenant is a customer of the platform: there are few"
_RESTORED = "once, in a restored database that nobody uses yet"
_WHOLE = "reads all of it, which is what it is for"

# Where all others of a file are left out, the name is *.
NOT_ASKED: Final = {
    "libs/audit:*": "calls a function that inserts",
    "libs/backup:*": "counts all that is open, when a person makes a backup or restores one",
    "libs/bench:*": "the bench's own, on the bench's own rows",
    "libs/demo:*": "counts what a demo did, for people to look at",
    "libs/schema:*": "the catalogue, to write the schema down",
    "libs/postgres:*": "settings and roles: no table of ours but the tenant's own row",
    "libs/supervisor:*": "asks the whole books, when a test or a person wants to know",
    "libs/torture:*": "counts what a round did",
    f"{INGEST}:insert_events": _GIVEN,
    f"{INGEST}:upsert_profiles": _GIVEN,
    f"{INGEST}:upsert_consent": _GIVEN,
    f"{INGEST}:insert_consent_version": _GIVEN,
    f"{INGEST}:insert_tenant": _GIVEN,
    f"{INGEST}:select_tenant": _PLATFORM,
    f"{INGEST}:enter_platform": "no table",
    f"{INGEST}:select_tenant_of_platform": _PLATFORM,
    f"{INGEST}:list_tenants": _PLATFORM,
    f"{INGEST}:lock_tenant": _PLATFORM,
    f"{INGEST}:update_tenant_state": _PLATFORM,
    f"{REMOVAL}:find_tenants": _PLATFORM,
    f"{REMOVAL}:find_transactions": "the server's own list of what runs",
    f"{REMOVAL}:try_lock": _LOCK,
    f"{REMOVAL}:remove_launches": "what people launched: a few hundred of a tenant",
    f"{REMOVAL}:select_tenant": _PLATFORM,
    f"{REMOVAL}:end_tenant": _PLATFORM,
    f"{REMOVAL}:time_before": "no table",
    f"{MACHINE}:find_unanswered": _RESTORED,
    f"{MACHINE}:select_sending": _RESTORED,
    f"{MACHINE}:select_doubted": _RESTORED,
    f"{SEGMENT}:insert_segment": _GIVEN,
    f"{SEGMENT}:select_segment_of_request": _KEY,
    f"{SEGMENT}:select_segment": _KEY,
    f"{SEGMENT}:select_now": "no table",
    f"{SEGMENT}:insert_members": _GIVEN,
    f"{SEGMENT}:insert_snapshot": _GIVEN,
    f"{SEGMENT}:select_snapshot_of_request": _KEY,
    f"{SEGMENT}:select_snapshot": _KEY,
    f"{DECISION}:insert_campaign": _GIVEN,
    f"{DECISION}:select_campaign_of_request": _KEY,
    f"{DECISION}:lock_campaign": _KEY,
    f"{DECISION}:update_campaign_state": _KEY,
    f"{DECISION}:bump_rule_set": _KEY,
    f"{DECISION}:insert_rule": _GIVEN,
    f"{DECISION}:insert_rule_version": _GIVEN,
    f"{DECISION}:select_rule_of_request": _KEY,
    f"{DECISION}:lock_rule": _KEY,
    f"{DECISION}:select_rule": _KEY,
    f"{DECISION}:update_rule": _KEY,
    f"{DECISION}:find_references": _KEY,
    f"{DECISION}:select_moment": _KEY,
    f"{DECISION}:select_segments": _KEY,
    f"{DECISION}:lock_people": _LOCK,
    f"{DECISION}:insert_decisions": _GIVEN,
    f"{DECISION}:insert_launch": _GIVEN,
    f"{DECISION}:select_launch_of_request": _KEY,
    f"{DECISION}:select_rule_to_launch": _KEY,
    f"{DECISION}:select_snapshot": _KEY,
    f"{DECISION}:try_lock": _LOCK,
    f"{SEALER}:try_lock": _LOCK,
    f"{SEALER}:insert_seals": _GIVEN,
    f"{SEALER}:advance_watermark": _GIVEN,
    f"{RELAY}:try_lock": _LOCK,
    f"{RELAY}:read_watermark": "a few rows a tenant, by their key",
    f"{RELAY}:advance_watermark": _GIVEN,
    f"{VERIFY}:seals": _WHOLE,
    f"{VERIFY}:entries": _WHOLE,
    f"{VERIFY}:decision": _WHOLE,
    f"{VERIFY}:delivery_attempt": _WHOLE,
    f"{VERIFY}:profile_consent_version": _WHOLE,
    f"{VERIFY}:without_rows": _WHOLE,
    f"{VERIFY}:doubled": _WHOLE,
    f"{VERIFY}:unrecorded_attempts": _WHOLE,
    f"{VERIFY}:activation_rule_version": _WHOLE,
    f"{VERIFY}:wrong_campaigns": _WHOLE,
    f"{VERIFY}:message_template": _WHOLE,
    f"{VERIFY}:wrong_snapshots": _WHOLE,
    f"{VERIFY}:wrong_launches": _WHOLE,
    f"{VERIFY}:removed": _WHOLE,
    f"{VERIFY}:returned": _WHOLE,
    f"{VERIFY}:ended_tenants": _WHOLE,
    f"{VERIFY}:select_removal": "looks through all that was removed, for a person",
    f"{VERIFY}:erased": _WHOLE,
    f"{VERIFY}:unrecorded_deliveries": _WHOLE,
    f"{VERIFY}:select_seqs": "names the findings of a verification",
    f"{VERIFY}:export_snapshot": "no table",
    f"{VERIFY}:recorded_of_delivery": "reads the tenant's entries since the delivery, for a person",
    f"{DISPATCH}:insert_deliveries": _GIVEN,
    f"{DISPATCH}:insert_template": _GIVEN,
    f"{DISPATCH}:select_template_of_request": _KEY,
    f"{DISPATCH}:select_template": _KEY,
    f"{DISPATCH}:lock_account": _KEY,
    f"{DISPATCH}:update_account": _KEY,
    f"{DISPATCH}:select_accounts": _KEY,
    f"{DISPATCH}:insert_receipts": _GIVEN,
    f"{DISPATCH}:insert_suppressions": _GIVEN,
    f"{MACHINE}:insert_intents": _GIVEN,
    f"{MACHINE}:now": "no table",
    f"{MACHINE}:insert_attempts": _GIVEN,
    f"{MACHINE}:pause_account": _KEY,
}
