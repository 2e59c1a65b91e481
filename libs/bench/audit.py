"""How fast the audit verifies: a long chain, and many recorded rows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import asyncpg
import orjson
from rich.table import Table
from uuid_utils.compat import uuid7

from libs import audit
from libs.audit.chain import NOTHING_BEFORE, canonical_entry, entry_digest, seal_hash
from libs.audit.verify import verify
from libs.bench.errors import BenchError
from libs.bench.machine import machine, versions
from libs.postgres import roles
from libs.postgres.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from libs.audit.verify import Checked
    from libs.supervisor.running import RunningStack

_QUERIES = load_queries(__file__)

BATCH_ROW_COUNT: Final = 200
_COPY_COUNT: Final = 50_000


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was measured.

    Attributes:
        chain_seconds: of each repeat, for the seals of the long chain.
        rows_per_second: of each repeat, recorded rows with their entries.
    """

    seal_count: int
    row_count: int
    process_count: int
    chain_seconds: Sequence[float]
    rows_per_second: Sequence[float]
    about: dict[str, dict[str, str]]

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return self.about | {
            "seals": self.seal_count,
            "chain_seconds_median": median(self.chain_seconds),
            "chain_seconds": list(self.chain_seconds),
            "rows": self.row_count,
            "rows_per_second_median": median(self.rows_per_second),
            "rows_per_second": list(self.rows_per_second),
            "processes": self.process_count,
        }

    def print(self, console: Console) -> None:
        """The table, for people."""
        table = Table(title="Verifying the audit", title_justify="left")
        for column in ("what", "median", "min to max"):
            table.add_column(column, justify="left" if column == "what" else "right")
        seconds, rates = self.chain_seconds, self.rows_per_second
        table.add_row(
            f"a chain of {self.seal_count:,} seals, in one pass",
            f"{median(seconds):.2f} s",
            f"{min(seconds):.2f} to {max(seconds):.2f} s",
        )
        table.add_row(
            f"{self.row_count:,} recorded rows, {self.process_count} processes",
            f"{median(rates):,.0f}/s",
            f"{min(rates):,.0f} to {max(rates):,.0f}/s",
        )
        console.print(table)
        for group, facts in self.about.items():
            told = ", ".join(f"{name} {value}" for name, value in facts.items())
            console.print(f"{group}: {told}", soft_wrap=True, highlight=False)


async def measure_audit(
    stack: RunningStack,
    *,
    seal_count: int,
    row_count: int,
    repeat_count: int,
    say: Callable[[str], None],
) -> AuditReport:
    """Write two tenants past the services, and verify each.

    One has a chain of entries that record nothing, the other one decisions in batches; what a
    service would have written of them is in the rows to the byte.

    Raises:
        BenchError: something does not verify.
    """
    process_count = os.cpu_count() or 1
    connection = await asyncpg.connect(stack.dsn(roles.MIGRATE))
    try:
        await _QUERIES.become_migrate(connection)
        chain_tenant = await _tenant(connection)
        say(f"Writing {seal_count:,} entries and seals …")
        await _write_chain(connection, chain_tenant, seal_count)
        rows_tenant = await _tenant(connection)
        say(f"Writing {row_count:,} decisions …")
        await _write_rows(connection, rows_tenant, row_count)
        await _QUERIES.analyze_audit(connection)
        settings = dict(await _QUERIES.settings(connection))
    finally:
        await connection.close()
    chain_seconds, rates = [], []
    for repeat in range(1, repeat_count + 1):
        checked = await _verify(stack, chain_tenant, process_count)
        chain_seconds.append(checked.chain_seconds)
        checked = await _verify(stack, rows_tenant, process_count)
        rows = sum(checked.rows.values())
        rates.append(rows / (checked.seconds - checked.chain_seconds))
        say(
            f"{repeat} of {repeat_count}: {seal_count:,} seals in {chain_seconds[-1]:.2f} s, "
            f"{rates[-1]:,.0f} rows/s"
        )
    return AuditReport(
        seal_count,
        row_count,
        process_count,
        chain_seconds,
        rates,
        {"machine": machine(), "versions": versions(), "postgresql": settings},
    )


async def _verify(stack: RunningStack, tenant_id: UUID, process_count: int) -> Checked:
    found = await verify(stack.auditor_dsn, tenant_id=tenant_id, process_count=process_count)
    if found.findings:
        first = found.findings[0]
        raise BenchError(f"{len(found.findings)} findings, the first: {first.what}, {first.detail}")
    return found.checked


async def _tenant(connection: Any) -> UUID:
    tenant_id: UUID = uuid7()
    await _QUERIES.insert_tenant(connection, tenant_id=tenant_id, name=f"bench-{uuid4().hex[:12]}")
    return tenant_id


class _Chain:
    """Entries and their seals, made in order."""

    def __init__(self, tenant_id: UUID) -> None:
        self._tenant_id = tenant_id
        self._hash = NOTHING_BEFORE
        self._seq = 0

    def link(
        self, entry_id: UUID, table: str | None, root: bytes, member_count: int
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """The rows of audit_entry and audit_seal, in the order of ENTRY and SEAL."""
        entry = {
            "tenant_id": self._tenant_id,
            "entry_id": entry_id,
            "kind": "decided" if table else "tried",
            "actor": "leo-bench",
            "call_id": "018f4e2a-6b1d-7c3e-9f00-1a2b3c4d5e6f",
            "recorded_table": table,
            "member_count": member_count,
            "created_at": datetime.now(UTC),
        }
        digest = entry_digest(root, canonical_entry(entry | {"details": {}}))
        prev, self._hash = self._hash, seal_hash(self._hash, digest)
        self._seq += 1
        return (
            (*entry.values(), root, "{}"),
            (self._tenant_id, self._seq, entry_id, digest, prev, self._hash),
        )


_ENTRY: Final = (
    *("tenant_id", "entry_id", "kind", "actor", "call_id", "recorded_table", "member_count"),
    *("created_at", "root", "details"),
)
_SEAL: Final = ("tenant_id", "seq", "entry_id", "entry_digest", "prev", "hash")


async def _write_chain(connection: Any, tenant_id: UUID, count: int) -> None:
    chain = _Chain(tenant_id)
    for start in range(0, count, _COPY_COUNT):
        made = [
            chain.link(uuid7(), None, audit.ROOT_OF_NOTHING, 0)
            for _ in range(min(_COPY_COUNT, count - start))
        ]
        await _copy(connection, made)


async def _copy(connection: Any, made: Sequence[tuple[tuple[Any, ...], tuple[Any, ...]]]) -> None:
    await connection.copy_records_to_table(
        "audit_entry", records=[entry for entry, _ in made], columns=_ENTRY
    )
    await connection.copy_records_to_table(
        "audit_seal", records=[seal for _, seal in made], columns=_SEAL
    )


async def _write_rows(connection: Any, tenant_id: UUID, count: int) -> None:
    chain = _Chain(tenant_id)
    rule_ids = [uuid7() for _ in range(20)]
    for start in range(0, count, BATCH_ROW_COUNT):
        now = datetime.now(UTC)
        rows = [
            decision_row(rule_ids[number % len(rule_ids)], number, now)
            for number in range(start, min(start + BATCH_ROW_COUNT, count))
        ]
        salts = [os.urandom(audit.SALT_BYTES) for _ in rows]
        leaves = [
            audit.leaf(salt, audit.canonical_row({"tenant_id": tenant_id} | row))
            for salt, row in zip(salts, rows, strict=True)
        ]
        entry_id = uuid7()
        await _copy(connection, [chain.link(entry_id, "decision", audit.root(leaves), len(leaves))])
        placed = [
            row | {"leaf_no": leaf_no, "salt": f"\\x{salt.hex()}"}
            for leaf_no, (row, salt) in enumerate(zip(rows, salts, strict=True))
        ]
        await _QUERIES.insert_decisions(
            connection,
            tenant_id=tenant_id,
            audit_entry_id=entry_id,
            decisions=orjson.dumps(placed, default=str).decode(),
        )


def decision_row(rule_id: UUID, number: int, now: datetime) -> dict[str, Any]:
    """A decision to act, with the inputs that a rule with a condition has."""
    event_id, time = str(uuid4()), now.isoformat()
    properties = {"value_vnd": 150_000 + number % 1000 * 500, "payment": "cash-on-delivery"}
    profile = {"city": "Huế", "lifetime_value_vnd": 4_500_000, "funnel_stage": "customer"}
    return {
        "decision_id": uuid7(),
        "trigger_kind": "event",
        "trigger_id": event_id,
        "profile_id": uuid4(),
        "profile_version": 1,
        "ordinal": 0,
        "rule_set_version": 40,
        "campaign_id": rule_id,
        "rule_id": rule_id,
        "rule_version": 1,
        "segment_id": None,
        "segment_version": None,
        "outcome": "acted",
        "reason": "every check passed",
        "not_before": None,
        "expires_at": now + timedelta(hours=24),
        "cooldown_us": None,
        "choices": [
            {
                "choice": 0,
                "channel": "zalo-template",
                "purpose": "care",
                "template_id": str(rule_id),
                "account_id": str(rule_id),
                "recipient_ref": "phone:0",
            }
        ],
        "inputs": {
            "event_id": event_id,
            "event_time": time,
            "now": time,
            "condition": {"event": {"properties": properties}, "profile": profile},
            "purpose": "care",
            "hold_out_bucket": number % 100,
        },
        "decided_at": now,
    }
