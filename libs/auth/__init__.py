"""Who calls, and what they may do: access tokens, scopes, tenants."""

from __future__ import annotations
