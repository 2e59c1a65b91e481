"""The figures of the main job as a table or as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from libs.bench.cost import Cost


@dataclass(frozen=True, slots=True)
class MainJobReport:
    """All figures of one run, and what they were made on.

    Attributes:
        workload: facts about what was sent.
        accepted_per_second: from the first event sent to the last message accepted.
        library_per_second: what the library that speaks to the provider reaches alone, if measured.
        settled_per_second: the same until every receipt was in as well.
        latency_seconds: of each event, from when it was due to when its message was accepted.
        evaluation_seconds: of each asking of all rules about one event.
        about: groups of facts: machine, versions, settings.
    """

    workload: dict[str, str]
    accepted_per_second: float
    library_per_second: float | None
    settled_per_second: float
    latency_seconds: Sequence[float]
    evaluation_seconds: Sequence[float]
    cost: Cost
    about: dict[str, dict[str, str]]

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "workload": self.workload,
            "accepted_per_second": self.accepted_per_second,
            "library_per_second": self.library_per_second,
            "settled_per_second": self.settled_per_second,
            "latency_ms": {
                f"p{percent}": 1e3 * percentile(self.latency_seconds, percent)
                for percent in (50, 99)
            },
            "rule_evaluation_ms": {
                f"p{percent}": 1e3 * percentile(self.evaluation_seconds, percent)
                for percent in (50, 99)
            },
            "cost_per_activation": asdict(self.cost),
        } | self.about

    def print(self, console: Console) -> None:
        """The table, for people."""
        table = Table(title="The main job: event to accepted by the provider", title_justify="left")
        table.add_column("measure")
        table.add_column("figure", justify="right")
        table.add_row("sustained rate", f"{self.accepted_per_second:,.0f}/s")
        if self.library_per_second is not None:
            table.add_row("messages alone, by aiosmtplib", f"{self.library_per_second:,.0f}/s")
        table.add_row("the same, until all receipts are in", f"{self.settled_per_second:,.0f}/s")
        for percent in (50, 99):
            latency = percentile(self.latency_seconds, percent)
            table.add_row(f"latency at a tenth of it, p{percent}", f"{1e3 * latency:,.1f} ms")
        for percent in (50, 99):
            taken = percentile(self.evaluation_seconds, percent)
            table.add_row(f"asking all rules about one event, p{percent}", f"{1e3 * taken:,.3f} ms")
        table.add_section()
        table.add_row("row versions an activation", f"{self.cost.row_versions:,.1f}")
        table.add_row("write-ahead log an activation", f"{self.cost.wal_bytes:,.0f} bytes")
        size = sum(self.cost.table_bytes.values())
        table.add_row("on disk an activation", f"{size:,.0f} bytes")
        for name, count in self.cost.table_bytes.items():
            table.add_row(f"  {name}", f"{count:,.0f} bytes")
        total = sum(self.cost.cpu_microseconds.values())
        table.add_row("processor time an activation", f"{total:,.0f} µs")
        for name, microseconds in self.cost.cpu_microseconds.items():
            table.add_row(f"  {name}", f"{microseconds:,.0f} µs")
        console.print(table)
        for group, facts in ({"workload": self.workload} | self.about).items():
            told = ", ".join(f"{name} {value}" for name, value in facts.items())
            console.print(f"{group}: {told}", soft_wrap=True, highlight=False)


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many of a hundred do not exceed."""
    if len(values) == 1:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]
