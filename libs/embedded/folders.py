"""Folders that the user as whom PostgreSQL runs can walk to; that matters to root alone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from libs.embedded.errors import EmbeddedError
from libs.embedded.process import server_user

# Where root keeps databases of data folders that the server's user cannot reach.
ELSEWHERE: Final = Path("/var/lib/leo-activation")
_WALK_BY_ALL: Final = 0o001


def closed_folder(folder: Path) -> Path | None:
    """The topmost folder on the way to `folder` that the server's user may not walk through.

    None where the whole way is open, as it always is to a server that runs as ourselves. What does
    not exist yet is made open by `make_reachable`.
    """
    if server_user() is None:
        return None
    way = (*reversed(folder.parents), folder)
    return next((f for f in way if f.exists() and not f.stat().st_mode & _WALK_BY_ALL), None)


def check_reachable(folder: Path, advice: str) -> None:
    """Refuse a folder that the server's user cannot reach.

    Args:
        folder: may not exist yet.
        advice: what else the reader can do.

    Raises:
        EmbeddedError: it names the closed folder.
    """
    if closed := closed_folder(folder):
        raise EmbeddedError(
            f"PostgreSQL does not run as root, and the user as whom it does (uid {server_user()}) "
            f"cannot reach {folder}: open {closed} (chmod o+x {closed}), or {advice}"
        )


def make_reachable(folder: Path) -> None:
    """Make a folder and what is missing above it, open to the server's user whatever the umask.

    A folder that exists stays as it is.
    """
    if not folder.exists():
        make_reachable(folder.parent)
        folder.mkdir(exist_ok=True)
        if server_user() is not None:
            folder.chmod(0o711)


def place_elsewhere(link: Path) -> None:
    """Let `link` lead to a place for a folder that the server's user can reach.

    A link, since a name made from the path would lose the database when the data folder is moved,
    and find an old one, of other passwords, when the data folder is made anew.
    """
    make_reachable(ELSEWHERE)
    home = Path(tempfile.mkdtemp(prefix="data-", dir=ELSEWHERE))
    home.chmod(0o711)
    # Not there yet: whoever is stopped here finds a link to nothing, and fills it next time.
    link.symlink_to(home / link.name)
