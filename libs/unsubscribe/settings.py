"""Where links to unsubscribe lead, and the keys that seal them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import orjson
from cryptography.fernet import Fernet
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.rpc.address import is_loopback
from libs.rpc.errors import StartError
from libs.unsubscribe.links import UnsubscribeLinks

_HINT = (
    "LEO_UNSUBSCRIBE_KEYS, or the file that …_FILE names, must be a JSON list of keys, each 32 "
    "bytes in URL-safe base64"
)


class UnsubscribeSettings(BaseSettings):
    """Settings of who sends and who takes such links, from LEO_UNSUBSCRIBE_… in the environment.

    Attributes:
        url: of the edge's door as people reach it, such as "https://leo.shop.vn/unsubscribe".
        keys: as JSON; the first one seals, all of them open.
        keys_file: a file with the same, in place of it.
    """

    model_config = SettingsConfigDict(env_prefix="LEO_UNSUBSCRIBE_", hide_input_in_errors=True)

    url: str = ""
    keys: SecretStr = SecretStr("")
    keys_file: Path | None = None

    def links(self) -> UnsubscribeLinks | None:
        """The links; None where neither address nor keys are set.

        Raises:
            StartError: only one of the two is set, or it cannot be used.
        """
        text = self.keys.get_secret_value()
        if self.keys_file is not None:
            try:
                text = self.keys_file.read_text(encoding="utf-8")
            except OSError as error:
                raise StartError(f"{self.keys_file}: {error.strerror}") from error
        if not text and not self.url:
            return None
        _check_url(self.url)
        return UnsubscribeLinks(_read_keys(text), self.url)


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    # Mail programs follow nothing else (RFC 8058, 3.1).
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname and is_loopback(f"{parts.hostname}:0"):
        return
    raise StartError(
        'LEO_UNSUBSCRIBE_URL must be the address of the door, such as "https://leo.shop.vn/'
        'unsubscribe"; http only on this machine'
    )


def _read_keys(text: str) -> list[bytes]:
    # Nothing of what is there goes into the error: it may be a key in the wrong place.
    try:
        keys = [str(key).encode() for key in orjson.loads(text)]
        for key in keys:
            Fernet(key)
    except (ValueError, TypeError):
        raise StartError(_HINT) from None
    if not keys:
        raise StartError(_HINT)
    return keys
