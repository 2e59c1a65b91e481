"""The issuer's keys: made once, kept in a file that only its owner reads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from joserfc.jwk import RSAKey

from libs.rpc.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

SIGNING_ALGORITHM = "RS256"


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """The key that signs, and one for encryption that stands beside it in Keycloak's JWKS too."""

    signing: RSAKey
    encryption: RSAKey

    def public_document(self) -> dict[str, Any]:
        """The JWKS that everybody may read."""
        return {"keys": [key.as_dict(private=False) for key in (self.signing, self.encryption)]}


def make_keys() -> IssuerKeys:
    """Make new keys."""
    return IssuerKeys(
        RSAKey.generate_key(2048, {"use": "sig", "alg": SIGNING_ALGORITHM}, auto_kid=True),
        RSAKey.generate_key(2048, {"use": "enc", "alg": "RSA-OAEP"}, auto_kid=True),
    )


def load_keys(path: Path) -> IssuerKeys:
    """Read the keys, or make them at the first start.

    Raises:
        StartError: the file is not one of ours.
    """
    if not path.exists():
        _write_keys(path, make_keys())
    try:
        document = orjson.loads(path.read_bytes())
        signing, encryption = (RSAKey.import_key(key) for key in document["keys"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StartError(
            f"the issuer's key file {path} cannot be read; remove it, and a new one is made"
        ) from error
    return IssuerKeys(signing, encryption)


def _write_keys(path: Path, keys: IssuerKeys) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"keys": [key.as_dict(private=True) for key in (keys.signing, keys.encryption)]}
    # Written beside and renamed: a half-written file is never read.
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(orjson.dumps(document))
    temporary.rename(path)
