"""PostgreSQL and Valkey from wheels: real servers without root, containers or system packages."""

from __future__ import annotations

from libs.embedded.postgres import EmbeddedPostgres
from libs.embedded.valkey import EmbeddedValkey

__all__ = ["EmbeddedPostgres", "EmbeddedValkey"]
