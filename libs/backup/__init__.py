"""Backups of a stack's database, and restores after which nothing is sent by itself."""
