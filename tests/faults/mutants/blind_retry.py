"""What is in doubt is sent again, as if every provider knew our key."""

from __future__ import annotations

import sys

from libs.process import run_command
from services.dispatch.machine import transitions
from services.dispatch.machine.worker import work

transitions.knows_key = lambda capabilities: True  # noqa: ARG005

if __name__ == "__main__":
    sys.exit(run_command("dispatch", {"work": work}))
