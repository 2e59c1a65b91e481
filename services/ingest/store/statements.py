"""The statements of queries.sql, for every module of the store."""

from __future__ import annotations

from libs.postgres.queries import load_queries

QUERIES = load_queries(__file__)
