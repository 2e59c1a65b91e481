"""What is wrong with a document, told without repeating it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


def tell_problems(error: ValidationError) -> list[str]:
    """Name each bad place and what is wrong there; never its value, which may be a secret."""
    return [
        f"{'.'.join(map(str, problem['loc'])) or 'document'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False, include_context=False)
    ]
