"""The secrets of one data folder, made once, readable by their owner alone."""

from __future__ import annotations

import base64
import json
import os
import secrets
from typing import TYPE_CHECKING, Final

from cryptography.fernet import Fernet
from pydantic import TypeAdapter, ValidationError

from libs.embedded.errors import EmbeddedError
from libs.postgres import roles

if TYPE_CHECKING:
    from pathlib import Path

SUPERUSER: Final = "postgres"
VALKEY: Final = "valkey"
# The client of the development issuer that people and scripts use.
DEVELOPER: Final = "leo-dev"
# The clients as which our services call each other.
INGEST_CLIENT: Final = "leo-ingest"
DECISION_CLIENT: Final = "leo-decision"
EDGE_CLIENT: Final = "leo-edge"
INTERNAL_CLIENTS: Final = (INGEST_CLIENT, DECISION_CLIENT, EDGE_CLIENT)

# Roles and clients have names of their own kinds: leo_ingest is a role, leo-ingest a client.
_NAMES = (SUPERUSER, *roles.LOGIN_ROLES, VALKEY, DEVELOPER, *INTERNAL_CLIENTS)
_FILE = "credentials.json"
CREDENTIAL_KEYS_FILE: Final = "credential-keys.json"
UNSUBSCRIBE_KEYS_FILE: Final = "unsubscribe-keys.json"
_KEY_ID = "local-1"
_KEY_BYTES = 32
_CREDENTIALS = TypeAdapter(dict[str, str])


def load_credentials(data_folder: Path) -> dict[str, str]:
    """A secret for each role, for Valkey and for each client of the issuer, by name.

    Missing ones are made and kept, so that a newer version finds what it needs.

    Raises:
        EmbeddedError: the file is damaged, or it is lost: its passwords are also the database's.
    """
    path = data_folder / _FILE
    anew = "restore it, or remove the whole data folder to start anew"
    if not path.exists():
        if (data_folder / "postgres" / "PG_VERSION").exists():
            raise EmbeddedError(f"{path}, with the database's passwords, is gone: {anew}")
        found = {}
    else:
        try:
            found = _CREDENTIALS.validate_json(path.read_bytes())
        except ValidationError:
            # Without the cause, which quotes the file.
            raise EmbeddedError(f"{path} is damaged: {anew}") from None
    missing = [name for name in _NAMES if name not in found]
    if missing:
        found |= {name: secrets.token_urlsafe(24) for name in missing}
        write_secret(path, json.dumps(found, indent=2))
    return found


def credential_keys_file(data_folder: Path) -> Path:
    """The file with the key that wraps the secrets of channel accounts; made the first time."""
    path = data_folder / CREDENTIAL_KEYS_FILE
    if not path.exists():
        key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
        write_secret(path, json.dumps({_KEY_ID: key}))
    return path


def unsubscribe_keys_file(data_folder: Path) -> Path:
    """The file with the key that seals links to unsubscribe; made the first time."""
    path = data_folder / UNSUBSCRIBE_KEYS_FILE
    if not path.exists():
        write_secret(path, json.dumps([Fernet.generate_key().decode()]))
    return path


def write_secret(path: Path, text: str) -> None:
    """Replace a file that its owner alone may read, at once, so that nobody reads half of it.

    Raises:
        EmbeddedError: it cannot be written, as on a full disk.
    """
    replacement = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(replacement, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            # On the disk before it takes the old one's place: after a power cut it is whole.
            os.fsync(descriptor)
        replacement.rename(path)
    except OSError as error:
        raise EmbeddedError(f"{path} cannot be written: {error.strerror}") from error
