"""The figures as a table or as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.table import Table

from libs.bench.plan import BATCH_EVENT_COUNT, BATCH_IN_FLIGHT, UNARY_IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from libs.bench.plan import Measurement, Way

LABELS: dict[Way, str] = {
    "bare": f"bare insert by unnest, {BATCH_EVENT_COUNT} a batch, {BATCH_IN_FLIGHT} in flight",
    "batch": f"BatchIngestEvents, {BATCH_EVENT_COUNT} a call, {BATCH_IN_FLIGHT} in flight",
    "stream": "StreamEvents, one stream",
    "unary": f"IngestEvent, {UNARY_IN_FLIGHT} in flight",
}


@dataclass(frozen=True, slots=True)
class Report:
    """All measurements of one run, and what they were made on.

    Attributes:
        measurements: in the order in which they were made.
        about: groups of facts: machine, versions, settings.
    """

    measurements: Sequence[Measurement]
    about: dict[str, dict[str, str]]

    def rates(self, way: Way) -> list[float]:
        """Rows per second of each repeat."""
        return [item.rows_per_second for item in self.measurements if item.way == way]

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        bare = median(self.rates("bare"))
        return self.about | {
            "ways": {
                way: {
                    "events_per_second_median": median(self.rates(way)),
                    "events_per_second_min": min(self.rates(way)),
                    "events_per_second_max": max(self.rates(way)),
                    "ratio_to_bare": median(self.rates(way)) / bare,
                }
                for way in LABELS
            },
            "measurements": [item.model_dump() for item in self.measurements],
        }

    def print(self, console: Console) -> None:
        """The table, for people."""
        bare = median(self.rates("bare"))
        table = Table(title="Events to committed rows, per second", title_justify="left")
        table.add_column("way")
        for column in ("median", "min to max", "of bare"):
            table.add_column(column, justify="right")
        for way, label in LABELS.items():
            rates = self.rates(way)
            table.add_row(
                label,
                f"{median(rates):,.0f}",
                f"{min(rates):,.0f} to {max(rates):,.0f}",
                f"{median(rates) / bare:.0%}",
            )
        console.print(table)
        for group, facts in self.about.items():
            told = ", ".join(f"{name} {value}" for name, value in facts.items())
            console.print(f"{group}: {told}", soft_wrap=True, highlight=False)
