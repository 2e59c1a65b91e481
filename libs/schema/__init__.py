"""The schema as people read it: `migrations/schema.sql` and `docs/reference/database.md`.

Both are written from the catalogue of a database that the migrations have built (`make schema`),
and a test refuses them when they are stale. Not from pg_dump: it takes each table apart, repeats
every column for every partition, and its words change from one version to the next.
"""

from __future__ import annotations

from pathlib import Path

from libs.schema.catalogue import read_catalogue
from libs.schema.page import render_page
from libs.schema.script import render_script

__all__ = ["PAGE", "SCRIPT", "read_catalogue", "render_page", "render_script"]

_ROOT = Path(__file__).parents[2]
SCRIPT = _ROOT / "migrations/schema.sql"
PAGE = _ROOT / "docs/reference/database.md"
