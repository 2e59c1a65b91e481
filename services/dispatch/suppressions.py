"""Suppressions: what is written by answers, receipts and calls, and read by people.

The claim asks for itself (machine/queries.sql, start_sending). An address is known by keyed hashes
alone: under each key of the ring, for a suppression keeps the key that it was made with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from uuid_utils.compat import uuid7

from libs import audit
from libs.addressing import address_of, recipient_refs
from libs.postgres.plans import plan_along_indexes
from libs.postgres.queries import load_queries
from services.dispatch.domain.delivery import ACTOR
from services.dispatch.domain.suppression import BadRecipient, Recipient, Source, Suppression
from services.dispatch.errors import (
    AddressMissingError,
    ProfileMissingError,
    RequestIdReusedError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from uuid import UUID

    import asyncpg

    from libs.postgres.database import Connection, Database
    from libs.rpc.requests import Origin, RequestKey
    from services.dispatch.domain.suppression import Cause
    from services.dispatch.envelope import KeyRing

_QUERIES = load_queries(__file__)


class Suppressions:
    """The table suppression, for calls."""

    _database: Database

    async def suppress(
        self,
        tenant_id: UUID,
        recipient: Recipient,
        key_ring: KeyRing,
        *,
        cause: Cause,
        origin: Origin,
    ) -> list[Suppression]:
        """Suppress what is not suppressed yet, with one audit entry; all that is in force.

        Raises:
            ProfileMissingError: the tenant has no profile with this ext_id.
            AddressMissingError: the person has no address for the channel.
            RequestIdReusedError: the request's id was used with another digest.
        """
        async with self._database.tenant(tenant_id) as connection:
            addresses = await _addresses_of(connection, tenant_id, recipient)
            if not addresses:
                raise AddressMissingError(recipient.channel)
            which = _which(tenant_id, recipient.channel, addresses, key_ring)
            made = await _of_request(
                _QUERIES.select_suppressions_of_request, connection, tenant_id, key_ring, origin
            )
            if not made:
                stored = [row async for row in _QUERIES.select_suppressed(connection, **which)]
                known = {(row["recipient_key_id"], row["recipient_hash"]) for row in stored}
                new = [
                    address
                    for address in addresses
                    if not any(
                        (key_id, key_ring.hash_recipient(key_id, address)) in known
                        for key_id in key_ring.key_ids
                    )
                ]
                if new:
                    await _insert(connection, which, new, key_ring, cause=cause, origin=origin)
            in_force = await _suppressions(_QUERIES.select_suppressed(connection, **which))
        told = {found.suppression_id: found for found in [*made, *in_force]}
        return list(told.values())

    async def unsuppress(
        self, tenant_id: UUID, recipient: Recipient, key_ring: KeyRing, *, origin: Origin
    ) -> list[Suppression]:
        """Lift what is in force, with one audit entry; what was lifted.

        Raises:
            ProfileMissingError: the tenant has no profile with this ext_id.
            RequestIdReusedError: the request's id was used with another digest.
        """
        request = origin.request
        async with self._database.tenant(tenant_id) as connection:
            addresses = await _addresses_of(connection, tenant_id, recipient)
            which = _which(tenant_id, recipient.channel, addresses, key_ring)
            lifted = await _of_request(
                _QUERIES.select_suppressions_of_lift_request,
                connection,
                tenant_id,
                key_ring,
                origin,
            )
            if lifted or not addresses:
                return lifted
            lifted = await _suppressions(
                _QUERIES.lift_suppressions(
                    connection,
                    **which,
                    request_id=request.request_id if request else None,
                    request_digests=[
                        _digest_of(request, key_id, key_ring) for key_id in which["key_ids"]
                    ],
                )
            )
            if lifted:
                await audit.append(
                    connection,
                    kind="addresses_unsuppressed",
                    actor=origin.actor,
                    call_id=origin.call_id,
                    details={"suppressions": [str(found.suppression_id) for found in lifted]},
                )
        return lifted

    async def list_suppressions(
        self,
        tenant_id: UUID,
        recipient: Recipient | None,
        key_ring: KeyRing,
        *,
        before: UUID,
        count: int,
    ) -> list[Suppression]:
        """What is in force and older than `before`, the newest first.

        Raises:
            ProfileMissingError: the tenant has no profile with this ext_id.
        """
        page = {"before": before, "count": count}
        async with self._database.tenant(tenant_id) as connection:
            if recipient is None:
                await plan_along_indexes(connection)
                rows = _QUERIES.list_suppressions(connection, tenant_id=tenant_id, **page)
            else:
                addresses = await _addresses_of(connection, tenant_id, recipient)
                which = _which(tenant_id, recipient.channel, addresses, key_ring)
                rows = _QUERIES.list_suppressions_of_recipient(connection, **which, **page)
            return await _suppressions(rows)


async def suppress_recipients(
    connection: Connection, tenant_id: UUID, source: Source, bad: Sequence[BadRecipient]
) -> None:
    """Suppress the addresses that deliveries went to, with one audit entry.

    Call it last in the transaction that writes what their provider said: it waits for whoever
    suppresses the same address at this moment.
    """
    rows = [
        row
        async for row in _QUERIES.insert_suppressions_of_deliveries(
            connection,
            tenant_id=tenant_id,
            suppression_ids=[uuid7() for _ in bad],
            delivery_ids=[each.delivery_id for each in bad],
            causes=[each.cause for each in bad],
            source=source,
        )
    ]
    await _record(connection, rows, actor=ACTOR, call_id="")


async def _insert(
    connection: Connection,
    which: dict[str, Any],
    addresses: Sequence[str],
    key_ring: KeyRing,
    *,
    cause: Cause,
    origin: Origin,
) -> None:
    """Suppress addresses that are not suppressed yet, under the active key."""
    key_id, request = key_ring.active_key_id, origin.request
    rows = [
        row
        async for row in _QUERIES.insert_suppressions(
            connection,
            tenant_id=which["tenant_id"],
            channel=which["channel"],
            suppression_ids=[uuid7() for _ in addresses],
            key_id=key_id,
            # In order, so that two calls cannot deadlock.
            hashes=sorted(key_ring.hash_recipient(key_id, address) for address in addresses),
            cause=cause,
            request_id=request.request_id if request else None,
            request_digest=_digest_of(request, key_id, key_ring),
        )
    ]
    await _record(connection, rows, actor=origin.actor, call_id=origin.call_id)


async def _record(
    connection: Connection, rows: Sequence[asyncpg.Record], *, actor: str, call_id: str
) -> None:
    """Note new suppressions in the audit; by their ids, for an entry is never erased."""
    if not rows:
        return
    await audit.append(
        connection,
        kind="addresses_suppressed",
        actor=actor,
        call_id=call_id,
        details={
            "suppressions": [
                [
                    str(row["suppression_id"]),
                    row["channel"],
                    row["cause"],
                    row["source"],
                    str(row["delivery_id"]) if row["delivery_id"] else None,
                ]
                for row in rows
            ]
        },
    )


async def _addresses_of(connection: Connection, tenant_id: UUID, recipient: Recipient) -> list[str]:
    """The addresses that are named, in their normal form, each once."""
    if recipient.address is not None:
        return [recipient.address]
    profile = await _QUERIES.select_document(
        connection, tenant_id=tenant_id, ext_id=recipient.profile_ext_id
    )
    if profile is None:
        raise ProfileMissingError
    document = orjson.loads(profile["document"])
    found = (address_of(ref, document) for ref in recipient_refs(recipient.channel, document))
    return list(dict.fromkeys(address for address in found if address is not None))


def _which(
    tenant_id: UUID, channel: str, addresses: Sequence[str], key_ring: KeyRing
) -> dict[str, Any]:
    """Addresses as statements name them: by a hash under each key."""
    keyed = [(key_id, address) for address in addresses for key_id in key_ring.key_ids]
    return {
        "tenant_id": tenant_id,
        "channel": channel,
        "key_ids": [key_id for key_id, _ in keyed],
        "hashes": [key_ring.hash_recipient(key_id, address) for key_id, address in keyed],
    }


async def _of_request(
    select: Any, connection: Connection, tenant_id: UUID, key_ring: KeyRing, origin: Origin
) -> list[Suppression]:
    """What an earlier call of this request changed.

    Raises:
        RequestIdReusedError: that call was another one.
    """
    request = origin.request
    if request is None:
        return []
    found = []
    async for row in select(connection, tenant_id=tenant_id, request_id=request.request_id):
        if row["request_digest"] != _digest_of(request, row["recipient_key_id"], key_ring):
            raise RequestIdReusedError(request.request_id)
        found.append(_suppression(row))
    return found


def _digest_of(request: RequestKey | None, key_id: str, key_ring: KeyRing) -> bytes | None:
    """The digest of a request that holds an address: without a key, it could be found by trying."""
    return None if request is None else key_ring.hash_request(key_id, request.digest)


async def _suppressions(rows: AsyncIterator[asyncpg.Record]) -> list[Suppression]:
    return [_suppression(row) async for row in rows]


def _suppression(row: asyncpg.Record) -> Suppression:
    return Suppression(
        suppression_id=row["suppression_id"],
        channel=row["channel"],
        cause=row["cause"],
        source=row["source"],
        delivery_id=row["delivery_id"],
        created_at=row["created_at"],
        lifted_at=row["lifted_at"],
    )
