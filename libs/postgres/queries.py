"""Named statements from the queries.sql beside the module that runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiosql


def load_queries(module_file: str) -> Any:
    """The statements of the `queries.sql` in the folder of `module_file`, as aiosql makes them.

    A statement is called with a connection and keyword arguments; the letter after its name says
    what comes back: none an async iterator of rows, `^` one row or None, `$` one value, `!` the
    command's tag. Parameters are not declared a second time beside the name.
    """
    return aiosql.from_path(
        Path(module_file).with_name("queries.sql"), "asyncpg", mandatory_parameters=False
    )
