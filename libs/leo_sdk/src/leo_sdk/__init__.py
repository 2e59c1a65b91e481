"""The asynchronous client of LEO Activation. Everything public is here; see README.md."""

from __future__ import annotations

from leo_sdk.calls import RetryPolicy
from leo_sdk.client import LeoClient
from leo_sdk.decisions import DecisionClient
from leo_sdk.dispatch import DispatchClient
from leo_sdk.errors import (
    ConflictError,
    DeadlineError,
    ExistsError,
    ForbiddenError,
    InternalError,
    InvalidError,
    LeoRpcError,
    LimitError,
    MissingError,
    StateError,
    UnauthenticatedError,
    UnavailableError,
    Violation,
    error_of_status,
)
from leo_sdk.ingest import IngestClient
from leo_sdk.messages import cdp_document, event, struct, timestamp
from leo_sdk.segments import SegmentClient
from leo_sdk.tokens import ClientCredentials, StaticToken, TokenSource

__all__ = [
    "ClientCredentials",
    "ConflictError",
    "DeadlineError",
    "DecisionClient",
    "DispatchClient",
    "ExistsError",
    "ForbiddenError",
    "IngestClient",
    "InternalError",
    "InvalidError",
    "LeoClient",
    "LeoRpcError",
    "LimitError",
    "MissingError",
    "RetryPolicy",
    "SegmentClient",
    "StateError",
    "StaticToken",
    "TokenSource",
    "UnauthenticatedError",
    "UnavailableError",
    "Violation",
    "cdp_document",
    "error_of_status",
    "event",
    "struct",
    "timestamp",
]
