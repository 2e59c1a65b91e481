"""Whoever makes the call that is being answered."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libs.rpc.call import current_call
from libs.rpc.requests import Origin

if TYPE_CHECKING:
    from uuid import UUID

    from libs.rpc.requests import RequestKey

INTERNAL_SCOPE = "leo.internal"


@dataclass(frozen=True, slots=True)
class Caller:
    """An identity whose token was verified, in the tenant that the call acts in.

    Attributes:
        subject: the token's `sub`; who is named in the audit.
        client_id: the client that the token was issued to.
        tenant_id: None only in a platform RPC.
        scopes: what the token allows.
        internal: one of our own services, which names its tenant in metadata.
        expires_at: when the token stops counting, in seconds since 1970.
    """

    subject: str
    client_id: str
    tenant_id: UUID | None
    scopes: frozenset[str]
    internal: bool
    expires_at: float


_CURRENT: ContextVar[Caller] = ContextVar("leo_caller")


def current_caller() -> Caller:
    """Return who makes the call that this code answers.

    Raises:
        LookupError: there is none; the caller runs outside of an authenticated RPC.
    """
    return _CURRENT.get()


def current_tenant() -> UUID:
    """Return the tenant that the call acts in; for every RPC that is not a platform RPC.

    Raises:
        LookupError: outside of such an RPC.
    """
    tenant_id = _CURRENT.get().tenant_id
    if tenant_id is None:
        raise LookupError("a platform RPC acts in no tenant")
    return tenant_id


def current_origin(request: RequestKey | None) -> Origin:
    """Where a change by this call comes from; `request` is the client's name for it, if any.

    Raises:
        LookupError: outside of an authenticated RPC.
    """
    return Origin(actor=current_caller().subject, call_id=current_call().call_id, request=request)


def enter_caller(caller: Caller) -> None:
    """Make `caller` the current one of this task; gRPC gives each RPC a task of its own."""
    _CURRENT.set(caller)
