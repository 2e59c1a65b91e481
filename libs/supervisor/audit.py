"""Where a development stack writes the checkpoints of its audit, and the key that signs them.

In production the file lies where the database and its superusers cannot reach it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from libs.audit.checkpoint import load_signing_key, public_key_text
from libs.embedded.credentials import write_secret

if TYPE_CHECKING:
    from pathlib import Path


def checkpoint_file(data_folder: Path) -> Path:
    """The file of checkpoints; its folder is made."""
    folder = data_folder / "audit"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "checkpoints.jsonl"


def checkpoint_key_file(data_folder: Path) -> Path:
    """The file with the private key; made the first time, with the public one beside it."""
    path = data_folder / "audit" / "checkpoint-key.pem"
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_secret(path, pem.decode())
    public = public_key_file(data_folder)
    if not public.exists():
        public.write_text(public_key_text(load_signing_key(path).public_key()) + "\n")
    return path


def public_key_file(data_folder: Path) -> Path:
    """The file with the public key, in hexadecimal digits."""
    return data_folder / "audit" / "checkpoint-key.pub"
