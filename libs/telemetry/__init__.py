"""What a process says about itself: its log."""

from __future__ import annotations

from libs.telemetry.log import configure_logging

__all__ = ["configure_logging"]
