"""Everything that segment reads and writes, one module a theme; statements in queries.sql."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.segment.store.segments import Segments
from services.segment.store.snapshots import Snapshots

if TYPE_CHECKING:
    from libs.postgres.database import Database

__all__ = ["SegmentStore"]


class SegmentStore(Segments, Snapshots):
    """The tables segment, segment_snapshot and segment_snapshot_member."""

    def __init__(self, database: Database) -> None:
        self._database = database
