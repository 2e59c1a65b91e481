"""What goes wrong between a service and its database, as kinds; driver text stays in `__cause__`.

Integrity violations are not here: a store turns a named constraint into an error of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from libs.rpc.errors import ConflictError, DeadlineError, LeoError, StateError, UnavailableError

if TYPE_CHECKING:
    from uuid import UUID


class StorageUnavailableError(UnavailableError):
    """The database cannot be reached, is restarting, or has no connection or memory to give."""

    reason = "STORAGE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the database is not available; retry")


class StorageConflictError(ConflictError):
    """Another transaction was faster, or two waited for each other and this one gave way."""

    reason = "CONFLICT"

    def __init__(self) -> None:
        super().__init__("another transaction was faster; do the whole again")


class DeadlinePassedError(DeadlineError):
    """The work in the database took longer than the caller gave it; nothing was stored."""

    reason = "DEADLINE_PASSED"

    def __init__(self) -> None:
        super().__init__("the time given for this call is over; give it more time or less to do")


class TenantMissingError(StateError):
    """The transaction's tenant does not exist."""

    reason = "TENANT_MISSING"

    def __init__(self, tenant_id: UUID) -> None:
        super().__init__(
            f"tenant {tenant_id} does not exist; create it first",
            subject=f"tenant/{tenant_id}",
            metadata={"tenant_id": str(tenant_id)},
        )


class TenantRemovedError(StateError):
    """The transaction's tenant is being removed, or is."""

    reason = "TENANT_REMOVED"

    def __init__(self, tenant_id: UUID) -> None:
        super().__init__(
            f"tenant {tenant_id} was removed; nothing of it is read or written any more",
            subject=f"tenant/{tenant_id}",
            metadata={"tenant_id": str(tenant_id)},
        )


# Class 08 of SQLSTATE, what a server says that goes down or comes up, and class 53: too many
# connections, no memory, no disk.
_UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
)
_CONFLICT = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)


def kind_of(error: Exception, *, connection_lost: bool) -> LeoError | None:
    """The kind that a driver's failure within a transaction is of, or None where it is none.

    Args:
        error: what was raised.
        connection_lost: the connection is closed, whatever the driver says of it.
    """
    if isinstance(error, _UNAVAILABLE):
        return StorageUnavailableError()
    if isinstance(error, _CONFLICT):
        return StorageConflictError()
    if isinstance(error, asyncpg.QueryCanceledError):
        return DeadlinePassedError()
    # InternalClientError: the server ended the session while the next statement was on its way.
    if connection_lost and isinstance(
        error, (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
    ):
        return StorageUnavailableError()
    return None
