"""Checkpoints: signed heads of the chains, in a file that is no part of the database.

A line is one tenant's head, as canonical JSON (RFC 8785): hash, seq, tenant_id, time, and the
Ed25519 signature over the same object without the signature. Whoever may change everything in the
database cannot change what was written here, and not sign anything else.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from libs import canonical
from libs.rpc.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Head:
    """The last seal of a tenant's chain."""

    tenant_id: UUID
    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A line of the file.

    Attributes:
        place: "FILE:LINE", for messages.
    """

    head: Head
    time: str
    signature: bytes
    place: str

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        """Whether the signature is this key's."""
        try:
            key.verify(self.signature, _signed(self.head, self.time))
        except InvalidSignature:
            return False
        return True

    def as_document(self) -> dict[str, Any]:
        """What stands in the line."""
        return _document(self.head, self.time) | {"signature": self.signature.hex()}


def load_signing_key(path: Path) -> Ed25519PrivateKey:
    """Read the key that signs checkpoints: Ed25519, PEM (PKCS #8), not encrypted.

    Raises:
        StartError: the file cannot be read or holds no such key.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise StartError(f"the checkpoint key {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise StartError(f"{path} holds no private key in PEM, unencrypted") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StartError(f"{path} holds a key of another kind; checkpoints want Ed25519")
    return key


def public_key_text(key: Ed25519PublicKey) -> str:
    """The key as people compare it: 64 hexadecimal digits."""
    return key.public_bytes_raw().hex()


def public_key_of(text: str) -> Ed25519PublicKey:
    """The key that `public_key_text` told. Raises ValueError."""
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text.strip()))


def append_checkpoints(path: Path, heads: Sequence[Head], key: Ed25519PrivateKey) -> None:
    """Sign heads and append them; when this returns they are on the disk.

    Several processes may write to one file. What a crash left of a line is taken away first.

    Raises:
        OSError: the file cannot be written.
    """
    time = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    lines = b"".join(_line(head, time, key) for head in heads)
    is_new = not path.exists()
    with closing(FileIO(path, "a+")) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _drop_torn_line(file)
        view = memoryview(lines)
        while view:
            view = view[file.write(view) :]
        os.fsync(file.fileno())
    if is_new:
        # The name of a new file is in its folder, which is written by itself.
        folder = os.open(path.parent, os.O_RDONLY)
        with suppress(OSError):
            os.fsync(folder)
        os.close(folder)


def read_checkpoints(paths: Iterable[Path]) -> Iterator[Checkpoint | str]:
    """Every checkpoint of the files, in order; for a line that is none, its place.

    The end of a file that has no line break yet is being written, and left out.

    Raises:
        OSError: a file cannot be read.
    """
    for path in paths:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n"):
                    place = f"{path}:{number}"
                    yield _checkpoint(line, place) or place


def _document(head: Head, time: str) -> dict[str, Any]:
    return {
        "hash": head.hash.hex(),
        "seq": head.seq,
        "tenant_id": str(head.tenant_id),
        "time": time,
    }


def _signed(head: Head, time: str) -> bytes:
    return canonical.dumps(_document(head, time))


def _line(head: Head, time: str, key: Ed25519PrivateKey) -> bytes:
    signature = key.sign(_signed(head, time)).hex()
    return canonical.dumps(_document(head, time) | {"signature": signature}) + b"\n"


def _checkpoint(line: bytes, place: str) -> Checkpoint | None:
    try:
        found = orjson.loads(line)
        head = Head(UUID(found["tenant_id"]), int(found["seq"]), bytes.fromhex(found["hash"]))
        signature = bytes.fromhex(found["signature"])
        return Checkpoint(head=head, time=str(found["time"]), signature=signature, place=place)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _drop_torn_line(file: FileIO) -> None:
    end = file.seek(0, os.SEEK_END)
    size = end
    while size:
        start = max(0, size - 4096)
        file.seek(start)
        found = file.read(size - start).rfind(b"\n")
        if found >= 0:
            size = start + found + 1
            break
        size = start
    if size < end:
        file.truncate(size)
