"""The door: nobody reaches an RPC without the token that it asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from grpc_interceptor import AsyncServerInterceptor

from leo.options.v1 import access_pb2
from libs.auth.caller import INTERNAL_SCOPE, enter_caller
from libs.auth.errors import (
    ScopeMissingError,
    TenantForbiddenError,
    TokenInvalidError,
    TokenMissingError,
)
from libs.rpc.errors import StartError
from libs.rpc.settings import OPEN_SERVICES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
    from grpc.aio import ServicerContext

    from libs.auth.caller import Caller
    from libs.auth.verifier import TokenVerifier

AUTHORIZATION_KEY = "authorization"
TENANT_KEY = "x-leo-tenant-id"


class AuthInterceptor(AsyncServerInterceptor):
    """Verify the token of each call, its scope and its tenant, and make the caller known.

    What an RPC asks for stands in its proto: `(leo.options.v1.scope)` and `(…platform)`. Health and
    reflection ask for nothing.
    """

    def __init__(self, verifier: TokenVerifier, descriptors: Iterable[ServiceDescriptor]) -> None:
        """Read what each RPC asks for.

        Raises:
            StartError: an RPC declares no scope.
        """
        self._verifier = verifier
        # Method name -> (scope, whether it acts on the platform).
        self._access = {
            f"/{descriptor.full_name}/{method.name}": _access(method)
            for descriptor in descriptors
            for method in descriptor.methods
        }

    async def intercept(
        self,
        method: Callable[..., Any],
        request_or_iterator: Any,
        context: ServicerContext[Any, Any],
        method_name: str,
    ) -> Any:
        """Let one call in or refuse it; the gRPC library calls this."""
        if not method_name.startswith(OPEN_SERVICES):
            # A method that nobody declared is a KeyError, and so a defect: never an open door.
            scope, platform = self._access[method_name]
            caller = await self._admit(context, scope, platform=platform)
            enter_caller(caller)
            if hasattr(request_or_iterator, "__aiter__"):
                request_or_iterator = self._until_expiry(request_or_iterator, caller)
        answer = method(request_or_iterator, context)
        return answer if hasattr(answer, "__aiter__") else await answer

    async def _until_expiry(
        self, requests: AsyncIterator[Any], caller: Caller
    ) -> AsyncIterator[Any]:
        """The requests of a stream, which may last longer than the token that opened it."""
        async for request in requests:
            self._verifier.check_expiry(caller)
            yield request

    async def _admit(
        self, context: ServicerContext[Any, Any], scope: str, *, platform: bool
    ) -> Caller:
        authorizations, tenants = _read_metadata(context.invocation_metadata() or ())
        caller = await self._verifier.verify(_bearer_token(authorizations))
        # Our own services act on behalf of anybody, but only inside a tenant.
        if scope not in caller.scopes and (platform or not caller.internal):
            raise ScopeMissingError(scope)
        if tenants:
            caller = _enter_named_tenant(caller, tenants)
        if caller.tenant_id is None and not platform:
            raise TenantForbiddenError(_missing_tenant(caller))
        return caller


def _access(method: MethodDescriptor) -> tuple[str, bool]:
    extensions = method.GetOptions().Extensions
    scope = extensions[access_pb2.scope]
    if not scope:
        raise StartError(
            f"{method.full_name} declares no (leo.options.v1.scope); nobody could be let in"
        )
    return scope, extensions[access_pb2.platform]


def _read_metadata(metadata: Iterable[tuple[str, Any]]) -> tuple[list[str], list[str]]:
    authorizations: list[str] = []
    tenants: list[str] = []
    for key, value in metadata:
        if key == AUTHORIZATION_KEY:
            authorizations.append(value)
        elif key == TENANT_KEY:
            tenants.append(value)
    return authorizations, tenants


def _bearer_token(authorizations: Sequence[str]) -> str:
    if not authorizations:
        raise TokenMissingError
    scheme, _, token = authorizations[0].partition(" ")
    if scheme.lower() != "bearer":
        raise TokenMissingError
    if len(authorizations) > 1 or not token or " " in token:
        raise TokenInvalidError(
            "malformed", 'send exactly one "authorization: Bearer <token>", with one space'
        )
    return token


def _enter_named_tenant(caller: Caller, tenants: Sequence[str]) -> Caller:
    if not caller.internal:
        raise TenantForbiddenError(
            f'only tokens with the scope "{INTERNAL_SCOPE}" may name a tenant in {TENANT_KEY}; '
            "the tenant is the one in the token"
        )
    try:
        (tenant_id,) = {UUID(tenant) for tenant in tenants}
    except ValueError:
        raise TenantForbiddenError(f"{TENANT_KEY} must be one UUID") from None
    if caller.tenant_id not in (None, tenant_id):
        raise TenantForbiddenError(f"{TENANT_KEY} names another tenant than the token")
    return replace(caller, tenant_id=tenant_id)


def _missing_tenant(caller: Caller) -> str:
    if caller.internal:
        return f"name the tenant in the metadata {TENANT_KEY}"
    return 'the token names no tenant; the issuer must add the claim "tenant_id"'
