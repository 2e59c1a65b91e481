"""PostgreSQL as the services see it: one pool, one tenant a transaction, errors as kinds."""

from __future__ import annotations
