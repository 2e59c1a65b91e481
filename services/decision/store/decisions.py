"""Writing decisions, with the audit entry over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from libs import audit
from services.decision.domain.record import leaf_of, new_salt
from services.decision.store.statements import QUERIES

if TYPE_CHECKING:
    from uuid import UUID

    from libs.postgres.database import Connection
    from libs.rpc.requests import Origin


class DecidedElsewhereError(Exception):
    """Somebody else decided one of them at the same time; nothing was written."""


async def insert_decisions(
    connection: Connection, tenant_id: UUID, rows: list[dict[str, Any]], origin: Origin
) -> None:
    """Insert rows as decision_row makes them, all or none.

    Raises:
        DecidedElsewhereError: one of them was decided meanwhile.
    """
    salts = [new_salt() for _ in rows]
    entry_id = await audit.append(
        connection,
        kind="decided",
        actor=origin.actor,
        call_id=origin.call_id,
        recorded_table="decision",
        leaves=[leaf_of(tenant_id, row, salt) for row, salt in zip(rows, salts, strict=True)],
        details={},
    )
    inserted = await QUERIES.insert_decisions(
        connection,
        tenant_id=tenant_id,
        audit_entry_id=entry_id,
        decisions=orjson.dumps(
            [
                row | {"leaf_no": leaf_no, "salt": f"\\x{salt.hex()}"}
                for leaf_no, (row, salt) in enumerate(zip(rows, salts, strict=True))
            ],
            # The driver's UUIDs are of a class of its own, which orjson does not know.
            default=str,
        ).decode(),
    )
    if inserted != len(rows):
        raise DecidedElsewhereError
