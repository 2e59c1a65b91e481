"""Values as the messages of every service hold them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

if TYPE_CHECKING:
    from datetime import datetime


@lru_cache(maxsize=64)  # the items of a batch have one time; a message field takes a copy
def timestamp_of(time: datetime) -> Timestamp:
    """A time on the wire."""
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp
