"""The hops between our services: ingest hands events to decision, decision hands to dispatch.

The truth is a committed row. A doorbell (`Ringer`) tells the next service at once, by a batch call
that may be repeated. A `Sweeper` finds what no doorbell reached: it looks for what is *missing* on
the other side, an event without a decision, an acting decision without a delivery. Nothing is
written back to the row; `relay_watermark` alone says behind which transaction there is nothing left
to look for.
"""

from __future__ import annotations

from libs.relay.channel import InternalChannel
from libs.relay.handover import Handover, activation, dispatching
from libs.relay.ringer import Ringer, ringing
from libs.relay.settings import InternalSettings
from libs.relay.sweeper import ACTIVATE, DISPATCH, Hop, Sweeper
from libs.relay.work import sweep_until_stopped, until_stopped

__all__ = [
    "ACTIVATE",
    "DISPATCH",
    "Handover",
    "Hop",
    "InternalChannel",
    "InternalSettings",
    "Ringer",
    "Sweeper",
    "activation",
    "dispatching",
    "ringing",
    "sweep_until_stopped",
    "until_stopped",
]
