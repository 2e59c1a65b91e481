"""The intent is written after the call; until then a delivery is only hidden for a lease.

That is what a queue with a visibility time-out does.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from libs.process import run_command
from services.dispatch.machine.claim import Claims, _Sorted
from services.dispatch.machine.results import Results
from services.dispatch.machine.worker import work

if TYPE_CHECKING:
    from uuid import UUID

hidden: dict[UUID, tuple[Claims, Any, list[str]]] = {}
intend = Claims._intend
write = Results.write


async def hide(
    self: Claims, connection: Any, tenant_id: UUID, found: _Sorted, key_ids: list[str]
) -> None:
    await connection.execute(
        "UPDATE delivery_log SET due_at = leo_now() + $2"
        " WHERE tenant_id = $1 AND delivery_id = ANY($3)",
        tenant_id,
        self._settings.lease,
        [row["delivery_id"] for row, _ in found.ready],
    )
    hidden.update({each[0]["delivery_id"]: (self, each, key_ids) for each in found.ready})


async def write_both(self: Results, tenant_id: UUID, done: Any) -> None:
    for claimed, _ in done:
        if claimed.delivery_id in hidden:
            claims, each, key_ids = hidden.pop(claimed.delivery_id)
            async with self._database.tenant(tenant_id) as connection:
                await intend(claims, connection, tenant_id, _Sorted([each], [], [], {}), key_ids)
    await write(self, tenant_id, done)


Claims._intend = hide  # type: ignore[method-assign]
Results.write = write_both  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(run_command("dispatch", {"work": work}))
