"""Sees the plans of whatever a connection runs: also of what functions and foreign keys run inside.

The server tells them itself (auto_explain, which conftest.py loads into the test's database), with
what each step really read. So a test runs the service's own statement, in the way the service does.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# As many rows are read in a moment, by whatever plan.
SMALL_COUNT: Final = 500
# Pages from the root of an index to a leaf, with one for the row itself and one to spare.
_DEPTH: Final = 5
# A page that an index entry led to, another one of the index, and one of a long value's.
_PAGES_PER_ROW: Final = 3
_PAGES_TO_SPARE: Final = 20
# All that reads a table or an index; Tid is the place of a row.
_BY_INDEX: Final = {
    "Index Scan", "Index Only Scan", "Bitmap Index Scan", "Bitmap Heap Scan", "Tid Scan",
}  # fmt: skip
_SCANS: Final = _BY_INDEX | {"Seq Scan", "Sample Scan", "Tid Range Scan"}


@dataclass(frozen=True, slots=True)
class Scan:
    """One step of a plan that reads a table or an index.

    Attributes:
        target: the table, or the index where that is all that is read.
        row_count: rows that it read, also those that it threw away afterwards.
        search_count: how often it went down its index from the root.
        page_count: pages that it touched.
    """

    how: str
    target: str
    row_count: float
    search_count: int
    page_count: int

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> Scan:
        """Of a node as EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) has it."""
        thrown_away = sum(
            node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck")
        )
        below = node.get("Plans", ())
        loops = node["Actual Loops"]
        return cls(
            node["Node Type"],
            node.get("Relation Name") or node["Index Name"],
            (node["Actual Rows"] + thrown_away) * loops,
            # What an array asks for is searched item by item.
            max(node.get("Index Searches", 0), loops),
            _pages(node) - sum(_pages(child) for child in below),
        )

    def complaint(self, table_sizes: Mapping[str, float], row_count_max: int) -> str | None:
        """What is wrong with it; None if it reads what it should, and by an index."""
        # What is none of ours belongs to the server.
        if table_sizes.get(self.target, 0) <= SMALL_COUNT:
            return None
        if self.how not in _BY_INDEX:
            return f"{self.how} of {self.target}"
        if self.row_count > row_count_max:
            return f"{self.target}: reads {self.row_count:.0f} rows"
        if self.search_count > max(row_count_max, 1):
            return f"{self.target}: {self.search_count} searches"
        # An index that is read from end to end is a table scan by another name.
        page_count_max = (
            _PAGES_TO_SPARE + _DEPTH * self.search_count + _PAGES_PER_ROW * self.row_count
        )
        if self.page_count > page_count_max:
            return f"{self.target}: touches {self.page_count} pages for {self.row_count:.0f} rows"
        return None


def _pages(node: Mapping[str, Any]) -> int:
    return int(node["Shared Hit Blocks"] + node["Shared Read Blocks"])


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


class Watched:
    """A connection whose plans are seen."""

    def __init__(self, connection: Any, table_sizes: Mapping[str, float]) -> None:
        self.connection = connection
        self._table_sizes = table_sizes
        self._told: list[dict[str, Any]] = []
        connection.add_log_listener(self._take)

    def _take(self, _: Any, message: Any) -> None:
        _, found, plan = message.message.partition("plan:\n")
        if found:
            self._told.append(json.loads(plan))

    async def enter(self, tenant_id: object) -> None:
        """Into a tenant's context, as every transaction of a service begins."""
        await self.connection.fetchval("SELECT enter_tenant_v1($1, 60000)", tenant_id)

    async def forget(self) -> None:
        """What was run so far does not count."""
        await self._end_statement()
        self._told.clear()

    async def statements(self) -> list[str]:
        """The text of every statement since then, also of those inside functions."""
        await self._end_statement()
        return [told["Query Text"] for told in self._told]

    async def nodes(self) -> list[dict[str, Any]]:
        """Every step of every plan since then."""
        await self._end_statement()
        return [node for told in self._told for node in _nodes(told["Plan"])]

    async def _end_statement(self) -> None:
        # A statement ends, and its plan is told, when the next one takes its place.
        await self.connection.execute("SELECT")
        # What the server says before an answer is handed over in the next turn of the loop.
        await asyncio.sleep(0)

    async def scans(self) -> list[Scan]:
        """Every step that reads a table or an index."""
        return [
            Scan.of(node)
            for node in await self.nodes()
            if node["Node Type"] in _SCANS and node["Actual Loops"]
        ]

    async def complaints(self, row_count_max: int) -> Sequence[str]:
        """What is wrong with the plans since then."""
        return [
            complaint
            for scan in await self.scans()
            if (complaint := scan.complaint(self._table_sizes, row_count_max))
        ]
