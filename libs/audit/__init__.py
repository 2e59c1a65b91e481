"""The audit: what a transaction recorded, under one hash, in an entry of the same transaction."""

from __future__ import annotations

from libs.audit.entry import append
from libs.audit.tree import ROOT_OF_NOTHING, SALT_BYTES, canonical_row, exact, leaf, root

__all__ = ["ROOT_OF_NOTHING", "SALT_BYTES", "append", "canonical_row", "exact", "leaf", "root"]
