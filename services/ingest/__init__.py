"""Ingest: events, profiles and consent come in, and stay."""
