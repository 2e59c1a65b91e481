"""What dispatch reads from the environment."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import orjson
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.rpc.errors import StartError
from services.dispatch.envelope import KEY_BYTES, KeyRing

# Part of what the secrets are bound to, where "|" separates.
_KEY_ID = re.compile(r"[a-z0-9._-]{1,64}")
_HINT = (
    'LEO_DISPATCH_CREDENTIAL_KEYS, or the file that …_FILE names, must be {"<key id>": "<32 bytes '
    'in base64>"}'
)


class DispatchSettings(BaseSettings):
    """Settings of this service alone, from LEO_DISPATCH_… in the environment.

    The database (LEO_POSTGRES_…), tokens (LEO_AUTH_…) and limits (LEO_RPC_…) have their own.

    Attributes:
        credential_keys: the keys that wrap the secrets of channel accounts, as JSON.
        credential_keys_file: a file with the same, in place of it.
        credential_key_id: the key that new secrets are sealed with; may be empty if there is one.
    """

    model_config = SettingsConfigDict(env_prefix="LEO_DISPATCH_", hide_input_in_errors=True)

    address: str = "127.0.0.1:7054"
    credential_keys: SecretStr = SecretStr("")
    credential_keys_file: Path | None = None
    credential_key_id: str = ""

    def key_ring(self) -> KeyRing:
        """The keys of credentials.

        Raises:
            StartError: there are none, or they are no keys.
        """
        text = self.credential_keys.get_secret_value()
        if self.credential_keys_file is not None:
            try:
                text = self.credential_keys_file.read_text(encoding="utf-8")
            except OSError as error:
                raise StartError(f"{self.credential_keys_file}: {error.strerror}") from error
        keys = _read_keys(text)
        active = self.credential_key_id or (next(iter(keys)) if len(keys) == 1 else "")
        if active not in keys:
            raise StartError(
                f"LEO_DISPATCH_CREDENTIAL_KEY_ID must be one of: {', '.join(sorted(keys))}"
            )
        return KeyRing(keys, active)


def _read_keys(text: str) -> dict[str, bytes]:
    # Nothing of what is there goes into the error: it may be a key in the wrong place.
    try:
        document = orjson.loads(text)
        keys = {key_id: base64.b64decode(key, validate=True) for key_id, key in document.items()}
    except (ValueError, TypeError, AttributeError):
        raise StartError(_HINT) from None
    if not keys or any(
        not _KEY_ID.fullmatch(key_id) or len(key) != KEY_BYTES for key_id, key in keys.items()
    ):
        raise StartError(_HINT)
    return keys
