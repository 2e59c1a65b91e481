"""The SMTP client that hands messages to mail servers."""

from __future__ import annotations
