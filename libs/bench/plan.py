"""What one measurement does and what it found: the words between the bench and its driver."""

from __future__ import annotations

from typing import Literal, TypeAlias
from uuid import UUID  # noqa: TC003, pydantic reads the annotation

from pydantic import BaseModel, ConfigDict, SecretStr, field_serializer

Way: TypeAlias = Literal["unary", "stream", "batch", "bare"]

BATCH_EVENT_COUNT = 500
# One unary call a message, so many at once: what a web shop's workers together have open.
UNARY_IN_FLIGHT = 64
# Batches, and connections of the bare insert: enough that neither side waits for the other.
BATCH_IN_FLIGHT = 4


class Plan(BaseModel):
    """One measurement.

    Attributes:
        source: the events' source, which no other measurement has.
        row_count_max: it ends after so many events,
        seconds_max: or after so long, whichever comes first.
    """

    model_config = ConfigDict(frozen=True)

    way: Way
    source: str
    row_count_max: int
    seconds_max: float
    tenant_id: UUID
    ingest_address: str
    token_url: str
    client_id: str
    client_secret: SecretStr
    ingest_dsn: SecretStr

    @field_serializer("client_secret", "ingest_dsn", when_used="json")
    def _reveal(self, secret: SecretStr) -> str:
        return secret.get_secret_value()  # for the driver's standard input, which nobody else reads


class Measurement(BaseModel):
    """What one measurement found.

    Attributes:
        row_count: events that were acknowledged.
        seconds: from the first one sent to the last acknowledgement.
    """

    model_config = ConfigDict(frozen=True)

    way: Way
    row_count: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        """The rate."""
        return self.row_count / self.seconds
