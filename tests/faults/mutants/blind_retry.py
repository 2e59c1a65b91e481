"""What is in doubt is sent again, as if every provider knew our key."""

from __future__ import annotations

import sys

from services.dispatch.__main__ import main
from services.dispatch.machine import transitions

transitions.knows_key = lambda capabilities: True  # noqa: ARG005

if __name__ == "__main__":
    sys.exit(main())
