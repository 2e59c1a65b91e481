"""Verifying the audit: everything is computed again, from recorded rows to signed checkpoints."""

from __future__ import annotations

from libs.audit.verify.findings import Finding
from libs.audit.verify.verification import Checked, Verification, verify

__all__ = ["Checked", "Finding", "Verification", "verify"]
