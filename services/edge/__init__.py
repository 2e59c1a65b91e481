"""The HTTP door: the same RPCs for callers that speak JSON. It owns no table, decides nothing."""

from __future__ import annotations
