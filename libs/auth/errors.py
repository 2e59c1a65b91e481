"""Why a call is not let in. The words are fixed; no value of a token is ever repeated."""

from __future__ import annotations

from typing import ClassVar

from libs.rpc.errors import ForbiddenError, UnauthenticatedError, UnavailableError


class TokenMissingError(UnauthenticatedError):
    reason: ClassVar[str] = "TOKEN_MISSING"

    def __init__(self) -> None:
        super().__init__('no bearer token; send the metadata "authorization: Bearer <token>"')


class TokenInvalidError(UnauthenticatedError):
    """`problem` is one word of libs.auth.verifier.PROBLEMS."""

    reason: ClassVar[str] = "TOKEN_INVALID"

    def __init__(self, problem: str, explanation: str) -> None:
        super().__init__(f"the token is refused: {explanation}", metadata={"problem": problem})


class ScopeMissingError(ForbiddenError):
    reason: ClassVar[str] = "SCOPE_MISSING"

    def __init__(self, scope: str) -> None:
        super().__init__(f'the token lacks the scope "{scope}"', metadata={"scope": scope})


class TenantForbiddenError(ForbiddenError):
    reason: ClassVar[str] = "TENANT_FORBIDDEN"


class KeysUnavailableError(UnavailableError):
    reason: ClassVar[str] = "KEYS_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the issuer's keys cannot be fetched, so no token can be checked yet")
