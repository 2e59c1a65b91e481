"""The secrets of one data folder, made once, readable by their owner alone."""

from __future__ import annotations

import json
import os
import secrets
from typing import TYPE_CHECKING, Final

from libs.postgres import roles

if TYPE_CHECKING:
    from pathlib import Path

SUPERUSER: Final = "postgres"
VALKEY: Final = "valkey"
# The client of the development issuer that people and scripts use.
DEVELOPER: Final = "leo-dev"

_NAMES = (SUPERUSER, *roles.LOGIN_ROLES, VALKEY, DEVELOPER)
_FILE = "credentials.json"


def load_credentials(data_folder: Path) -> dict[str, str]:
    """A secret for each role, for Valkey and for each client of the issuer, by name.

    Missing ones are made and kept, so that a newer version finds what it needs.
    """
    path = data_folder / _FILE
    found: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in _NAMES if name not in found]
    if missing:
        found |= {name: secrets.token_urlsafe(24) for name in missing}
        data_folder.mkdir(parents=True, exist_ok=True)
        replacement = path.with_suffix(".new")
        descriptor = os.open(replacement, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(found, file, indent=2)
        replacement.rename(path)
    return found
