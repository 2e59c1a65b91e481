"""What decisions refer to, and an entry has a digest of: versions of rules, and templates.

They were there before the chain, are few, and hold nothing personal. So the entry that is written
with such a row has the SHA-256 of the canonical form of what it says, and there is no leaf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from libs.audit.recorded import Form, canonical_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def _document_alone(_: bytes, documents: Sequence[bytes]) -> bytes:
    return canonical_document(documents[0])


# How the columns and documents that verify/queries.sql tells of a row become what is digested.
DEFINED: Final[Mapping[str, Callable[[bytes, Sequence[bytes]], bytes]]] = {
    "activation_rule_version": _document_alone,
    "message_template": Form({"data": "provider_template_id"}).canonical,
}
