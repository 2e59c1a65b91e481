"""What is done to a stack while it works: a schedule, made from a seed, and the same each time."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from libs.torture.ways import CHANNELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    Fault = Mapping[str, Any]

EVENT_COUNT: Final = 80
# What a worker may hold a message for; frozen or cut off for longer, it comes back too late.
LEASE_SECONDS: Final = 2.0
TOO_LONG_SECONDS: Final = LEASE_SECONDS + 1
# Of every worker: short, so that what was lost is found again soon.
SETTINGS: Final[Mapping[str, str]] = {
    "LEO_MACHINE_LEASE": f"PT{LEASE_SECONDS:g}S",
    "LEO_MACHINE_BACKOFF_MIN": "PT0.5S",
}

Kind = Literal["kill", "freeze", "flush", "cut"]
# The stack's worker that sends, and the one that a round may have beside it.
OWN_WORKER: Final = "dispatch-work"
SECOND: Final = "second dispatch-work"
# These are hit when they have messages in the provider's hands.
SENDERS: Final = (OWN_WORKER, SECOND)
KILLED: Final = (
    *("ingest", "ingest-work", "segment", "decision", "decision-work", "dispatch"),
    *(OWN_WORKER, SECOND, "edge", "issuer", "simulator", "valkey", "postgres"),
)
FROZEN: Final = ("decision", "decision-work", "dispatch", OWN_WORKER, SECOND, "valkey")

# Each message stays in the provider's hands for a while, so that a kill finds some there.
SLOW: Final[Fault] = {"kind": "reply_slow", "delay_seconds": 0.2}
# What providers do to answers and webhooks. Of those that concern a message the first one happens.
MISHAPS: Final = (
    "reply_lost",
    "reply_truncated",
    "server_error_after",
    "server_error_before",
    "receipt_dropped",
    "receipt_duplicated",
    "receipt_reordered",
    "receipt_delayed",
)
_STRIKE_COUNTS: Final = (1, 2, 3)
_MISHAP_COUNTS: Final = (1, 2, 3)
_MISHAP_SHARES: Final = (0.02, 0.05, 0.1)
_REFUSED_SHARES: Final = (0.1, 0.3)


@dataclass(frozen=True, slots=True)
class Strike:
    """One blow.

    Attributes:
        process: which one it hits, by its name in `leo status`; SECOND is a worker beside them.
        at: after so many events were acknowledged.
        seconds: how long a freeze lasts, or a cut of the way to the database.
    """

    kind: Kind
    process: str
    at: int
    seconds: float = 0

    def __str__(self) -> str:
        words = {
            "kill": f"{self.process} killed",
            "freeze": f"{self.process} frozen for {self.seconds:g} s",
            "flush": f"{self.process} flushed",
            "cut": f"{self.process} cut off from the database for {self.seconds:g} s",
        }
        return f"{words[self.kind]} at event {self.at}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One round: what happens while its events are carried out.

    Attributes:
        name: the source of its events.
        faults: of the providers, as the simulator takes them.
        seed: of the providers' chances.
        second_worker: whether there is one; always, if it is hit.
        alone: whether the second worker has all messages to itself, the stack's own being stopped
            until the second has ended.
    """

    name: str
    strikes: tuple[Strike, ...] = ()
    faults: tuple[Fault, ...] = ()
    seed: int = 0
    second_worker: bool = False
    alone: bool = False

    def __str__(self) -> str:
        strikes = "; ".join(map(str, self.strikes)) or "nobody hit"
        told = [
            f"{fault['kind']} {fault['probability']:.0%}"
            for fault in self.faults
            if "probability" in fault
        ]
        return f"{strikes}; providers: {', '.join(told) or 'well'}"


def plan_of(seed: int) -> Plan:
    """The schedule of a seed."""
    chance = random.Random(f"torture:{seed}")  # noqa: S311 - repeatable, no secret
    strikes = [_strike(chance) for _ in range(chance.choice(_STRIKE_COUNTS))]
    faults: list[Fault] = [
        {"kind": kind, "probability": chance.choice(_MISHAP_SHARES)}
        for kind in chance.sample(MISHAPS, chance.choice(_MISHAP_COUNTS))
    ]
    channel = chance.choice(sorted(CHANNELS))
    refused = CHANNELS[channel].refusal
    faults.append({**refused, "provider": channel, "probability": chance.choice(_REFUSED_SHARES)})
    return Plan(
        f"seed-{seed}",
        tuple(sorted(strikes, key=lambda strike: strike.at)),
        (*faults, SLOW),
        seed,
    )


def _strike(chance: random.Random) -> Strike:
    at = chance.randrange(EVENT_COUNT // 8, EVENT_COUNT * 7 // 8)
    kind: Kind
    (kind,) = chance.choices(("kill", "freeze", "flush", "cut"), (10, 4, 1, 3))
    if kind == "kill":
        return Strike(kind, chance.choice(KILLED), at)
    if kind == "freeze":
        return Strike(kind, chance.choice(FROZEN), at, TOO_LONG_SECONDS)
    if kind == "flush":
        return Strike(kind, "valkey", at)
    return Strike(kind, SECOND, at, TOO_LONG_SECONDS)
