"""Commands whose work cannot be done: one sentence and an exit status, never a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libs.cli import database
from libs.cli.database import connected
from libs.cli.errors import CommandError
from libs.embedded.process import free_port
from libs.postgres import roles

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def dsn(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def set_dsn(dsn: str) -> None:
        monkeypatch.setattr(database, "dsn_of", lambda _: dsn)

    return set_dsn


async def test_a_database_that_is_away_is_said_in_a_sentence(dsn: Callable[[str], None]) -> None:
    dsn(f"postgresql://leo:x@127.0.0.1:{free_port()}/leo")
    with pytest.raises(CommandError, match="the database does not answer"):
        async with connected(roles.AUDITOR):
            pass
