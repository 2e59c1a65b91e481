"""Whoever comes back writes, though others have ended the attempt since."""

from __future__ import annotations

import sys

from services.dispatch.__main__ import main
from services.dispatch.machine import results

results._holds = lambda item, row: True  # noqa: ARG005

if __name__ == "__main__":
    sys.exit(main())
