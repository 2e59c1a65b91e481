"""The pool of one process, and the only ways to a transaction: in one tenant's context, or none."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import asyncpg
import structlog

from libs.postgres.errors import (
    DeadlinePassedError,
    StorageUnavailableError,
    TenantMissingError,
    TenantRemovedError,
    kind_of,
)
from libs.postgres.queries import load_queries
from libs.rpc.call import find_call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from libs.postgres.settings import PostgresSettings

# asyncpg ships no types; a statement is checked by running it, not by its signature.
Connection: TypeAlias = Any

CONNECT_TIMEOUT = timedelta(seconds=5)
CLOSE_TIMEOUT = timedelta(seconds=10)
# The server ends a statement in time and says so; only where it no longer answers at all does the
# client give up, this much later.
UNANSWERED_GRACE = timedelta(seconds=2)
# States of a tenant from which there is no way back.
_ENDED = ("removing", "removed")

_QUERIES = load_queries(__file__)
_log = structlog.get_logger()

# What the driver raises where a session cannot be had, or has gone.
_LOST: Final = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class Database:
    """A pool of connections to one database as one role."""

    def __init__(self, pool: Any, statement_timeout: timedelta) -> None:
        self._pool = pool
        self._statement_timeout = statement_timeout

    @classmethod
    async def open(cls, settings: PostgresSettings, *, application_name: str) -> Self:
        """A database that is used as it comes: if it is away now, calls fail until it is back.

        Raises:
            ValueError: the DSN cannot be read.
        """

        async def pool(count_min: int) -> Any:
            return await asyncpg.create_pool(
                settings.dsn.get_secret_value(),
                min_size=count_min,
                max_size=settings.pool_count_max,
                timeout=CONNECT_TIMEOUT.total_seconds(),
                server_settings={"application_name": application_name},
                reset=_reset_nothing,
            )

        try:
            opened = await pool(settings.pool_count_min)
        except asyncpg.ClientConfigurationError:
            raise
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            _log_unavailable(error)
            opened = await pool(0)
        return cls(opened, settings.statement_timeout)

    async def close(self) -> None:
        """Let running transactions end, then close every connection."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT.total_seconds()):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def ping(self) -> None:
        """Return if the database answers.

        Raises:
            StorageUnavailableError: it does not.
        """
        async with self._connection(self._statement_timeout) as connection, _kinds(connection):
            await connection.execute("SELECT 1")

    @asynccontextmanager
    async def tenant(
        self,
        tenant_id: UUID,
        *,
        timeout: timedelta | None = None,
        must_exist: bool = True,
        one_moment: bool = False,
    ) -> AsyncIterator[Connection]:
        """One transaction in one tenant's context; it commits if the block ends without an error.

        Args:
            tenant_id: whose rows the transaction sees and may write.
            timeout: for the whole. Where none is given, what remains of the call that is being
                answered, and at most the setting statement_timeout.
            must_exist: refuse a tenant that does not exist or is being removed. False is for who
                creates or removes it, and for what has to end properly all the same.
            one_moment: let every statement see what the first one saw (REPEATABLE READ), so that
                much can be read in pages; without it each sees what is committed by then.

        Raises:
            TenantMissingError: there is no such tenant.
            TenantRemovedError: it is being removed, or is.
            StorageUnavailableError: the database is away, or went away; at the commit, nobody
                knows whether it happened.
            StorageConflictError: another transaction was faster.
            DeadlinePassedError: the time is over.
        """
        isolation = "repeatable_read" if one_moment else None
        async with self._transaction(timeout, isolation) as (connection, statement_timeout_ms):
            state = await _QUERIES.enter_tenant(
                connection, tenant_id=tenant_id, statement_timeout_ms=statement_timeout_ms
            )
            if state is None and must_exist:
                raise TenantMissingError(tenant_id)
            if state in _ENDED and must_exist:
                raise TenantRemovedError(tenant_id)
            yield connection

    @asynccontextmanager
    async def across_tenants(
        self, *, timeout: timedelta | None = None
    ) -> AsyncIterator[Connection]:
        """One transaction in no tenant's context: a service sees no rows in it, leo_finder some.

        Args:
            timeout: as in `tenant`.

        Raises:
            StorageUnavailableError: the database is away, or went away.
            DeadlinePassedError: the time is over.
        """
        async with self._transaction(timeout) as (connection, statement_timeout_ms):
            await _QUERIES.limit_statements(
                connection, statement_timeout_ms=str(statement_timeout_ms)
            )
            yield connection

    @asynccontextmanager
    async def _transaction(
        self, timeout: timedelta | None, isolation: str | None = None
    ) -> AsyncIterator[tuple[Connection, int]]:
        """A transaction, and the milliseconds that a statement in it may take."""
        allowed = self._allowed() if timeout is None else timeout
        if allowed <= timedelta(0):
            raise DeadlinePassedError
        try:
            async with (
                asyncio.timeout((allowed + UNANSWERED_GRACE).total_seconds()) as deadline,
                self._connection(allowed) as connection,
                _kinds(connection),
                connection.transaction(isolation=isolation),
            ):
                yield connection, max(1, int(allowed / timedelta(milliseconds=1)))
        except TimeoutError as error:
            if deadline.expired():
                raise DeadlinePassedError from error
            raise

    def _allowed(self) -> timedelta:
        call = find_call()
        if call is None:
            return self._statement_timeout
        return min(self._statement_timeout, call.deadline_remaining())

    @asynccontextmanager
    async def _connection(self, timeout: timedelta) -> AsyncIterator[Connection]:
        try:
            connection = await self._pool.acquire(timeout=timeout.total_seconds())
        except _LOST as error:
            # Among them the time-out of waiting for a free connection.
            _log_unavailable(error)
            raise StorageUnavailableError from error
        try:
            yield connection
        finally:
            try:
                await self._pool.release(connection)
            except _LOST as error:
                # The session ended after the last answer. The pool has dropped it, and what was
                # committed is committed: nobody's work has failed.
                _log_unavailable(error)


async def _reset_nothing(_: Connection) -> None:
    """All that is set, locked and opened here ends with its transaction (tests/repo/test_sql.py).

    The driver has rolled back before. What it would send besides, once a transaction, is a twelfth
    of the time that the server works for an event that comes alone.
    """


@asynccontextmanager
async def _kinds(connection: Connection) -> AsyncIterator[None]:
    try:
        yield
    except Exception as error:
        kind = kind_of(error, connection_lost=_is_lost(connection))
        if kind is None:
            raise
        raise kind from error


def _is_lost(connection: Connection) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        # The pool took a broken connection back and answers no question about it.
        return True


def _log_unavailable(error: Exception) -> None:
    # The text may hold names of hosts and roles; the class and the SQLSTATE say enough.
    _log.warning(
        "database_unavailable",
        error=type(error).__name__,
        sqlstate=getattr(error, "sqlstate", None),
    )
