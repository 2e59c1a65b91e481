"""Appending an entry, in the transaction of what it records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uuid_utils.compat import uuid7

from libs import canonical
from libs.audit.tree import root
from libs.postgres.queries import load_queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from libs.postgres.database import Connection

_QUERIES = load_queries(__file__)


async def append(
    connection: Connection,
    *,
    kind: str,
    actor: str,
    call_id: str,
    recorded_table: str | None = None,
    leaves: Sequence[bytes] = (),
    details: Mapping[str, object],
) -> UUID:
    """Append one entry for everything that the transaction recorded; returns its id.

    Args:
        connection: in the context of the tenant whose entry it is.
        kind: what happened, in snake_case, such as "consent_changed".
        actor: who did it: the subject of the token, or the process.
        call_id: of the call that did it, as in the logs.
        recorded_table: where the rows are; None where `details` says everything.
        leaves: of the rows, in the order of their leaf_no.
        details: what no row holds; never a personal value, because entries are never erased.

    Raises:
        CanonicalError: the details have no canonical form; such an entry could not be sealed.
    """
    entry_id: UUID = uuid7()
    await _QUERIES.append_entry(
        connection,
        entry_id=entry_id,
        kind=kind,
        actor=actor,
        call_id=call_id,
        recorded_table=recorded_table,
        member_count=len(leaves),
        root=root(leaves),
        details=canonical.dumps(dict(details)).decode(),
    )
    return entry_id
