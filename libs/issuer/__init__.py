"""A token issuer for development and tests, shaped like Keycloak. Never for production."""

from __future__ import annotations
