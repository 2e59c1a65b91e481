"""How large a batch may be: as large as is asked for, and smaller where the database is slow."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from libs.postgres.errors import DeadlinePassedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# What a batch may take, so that its locks and its snapshot hold nobody up.
BATCH_TIMEOUT: Final = timedelta(seconds=5)

_Answer = TypeVar("_Answer")


class Batches:
    """Calls with a size that halves where a batch took too long, and doubles with each success."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._count = count_max

    async def run(self, batch: Callable[[int], Awaitable[_Answer]]) -> _Answer:
        """What `batch` gives for a size, which is smaller at each try.

        Raises:
            DeadlinePassedError: even one row takes too long.
        """
        while True:
            try:
                answer = await batch(self._count)
            except DeadlinePassedError:
                if self._count == 1:
                    raise
                self._count //= 2
            else:
                self._count = min(self._count * 2, self._count_max)
                return answer
