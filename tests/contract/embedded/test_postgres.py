"""The embedded PostgreSQL where a start goes wrong, or its folder is not an ordinary one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from libs.embedded import EmbeddedPostgres, folders, postgres
from libs.embedded.credentials import SUPERUSER
from libs.embedded.errors import EmbeddedError
from libs.embedded.installation import check_libraries, install_postgres
from libs.embedded.process import server_user, spawn

if TYPE_CHECKING:
    from collections.abc import Iterator

AS_ROOT = pytest.mark.skipif(server_user() is None, reason="only root has another user for it")


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that the server's user can reach, which pytest's tmp_path is not."""
    with tempfile.TemporaryDirectory(prefix="leo-embedded-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@pytest.fixture
def closed(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that only root can reach."""
    monkeypatch.setattr(folders, "ELSEWHERE", home / "elsewhere")
    folder = home / "closed"
    folder.mkdir(mode=0o700)
    return folder


async def write_note(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder)
    await server.start()
    connection = await asyncpg.connect(server.superuser_dsn("postgres"))
    await connection.execute("CREATE TABLE note AS SELECT 'kept' AS text")
    await connection.close()
    await server.stop()


async def read_note(data_folder: Path) -> str | None:
    server = EmbeddedPostgres(data_folder)
    await server.start()
    connection = await asyncpg.connect(server.superuser_dsn("postgres"))
    try:
        found: str | None = await connection.fetchval("SELECT text FROM note")
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await connection.close()
        await server.stop()
    return found


@AS_ROOT
async def test_a_data_folder_below_a_closed_one_may_move_and_be_made_anew(closed: Path) -> None:
    first = closed / "data"
    await write_note(first)
    assert (first / "postgres").is_symlink()
    moved = first.rename(closed / "moved")
    assert await read_note(moved) == "kept"
    # The same path again, with passwords of its own.
    assert await read_note(first) is None


@AS_ROOT
@pytest.mark.parametrize("where", ["home", "closed"])
async def test_a_umask_that_closes_everything_does_not_matter(
    where: str, closed: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEO_CACHE", str(home / "caches" / "cache"))
    before = os.umask(0o077)
    try:
        await write_note({"home": home, "closed": closed}[where] / "new" / "data")
    finally:
        os.umask(before)


@AS_ROOT
def test_a_cache_that_the_server_cannot_reach_is_named(
    closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEO_CACHE", str(closed / "cache"))
    with pytest.raises(EmbeddedError, match=f"open {closed} .*LEO_CACHE"):
        install_postgres()


@AS_ROOT
async def test_a_folder_that_is_closed_later_is_named_and_not_taken_for_an_empty_one(
    home: Path,
) -> None:
    data = home / "data"
    await write_note(data)
    os.chmod(home, 0o700)  # noqa: PTH101 - a call of pathlib would block the loop as much
    with pytest.raises(EmbeddedError, match=f"open {home} "):
        await EmbeddedPostgres(data).start()
    os.chmod(home, 0o711)  # noqa: PTH101
    assert await read_note(data) == "kept"


async def test_a_first_start_that_is_killed_is_made_good_by_the_next(home: Path) -> None:
    data = home / "data"
    kill_in_initdb(data)
    assert not (data / "postgres").exists()
    await write_note(data)
    assert await read_note(data) == "kept"
    assert not (data / "postgres.new").exists()


def kill_in_initdb(data: Path) -> None:
    """Start a server in a process of its own and kill that while the database is half made."""
    install_postgres()
    starting = start_elsewhere(data)
    # initdb writes the version first of all and the cluster's control file much later.
    while not list(data.glob("postgres*/**/PG_VERSION")):
        assert starting.poll() is None
        time.sleep(0.005)
    children = Path(f"/proc/{starting.pid}/task/{starting.pid}/children").read_text().split()
    assert children
    stop_at_once(starting)
    while any(runs(int(pid)) for pid in children):
        time.sleep(0.005)


def start_elsewhere(data: Path) -> subprocess.Popen[bytes]:
    """A process that starts a server on the folder and says "up" when it answers."""
    program = (
        "import asyncio, pathlib, time; from libs.embedded import EmbeddedPostgres; "
        f"asyncio.run(EmbeddedPostgres(pathlib.Path({str(data)!r})).start()); "
        "print('up', flush=True); time.sleep(600)"
    )
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)


def stop_at_once(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def runs(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("killed", ["parent", "server and parent"])
async def test_a_start_waits_for_what_a_kill_left_behind(home: Path, killed: str) -> None:
    data = home / "data"
    await write_note(data)
    starting = start_elsewhere(data)
    assert starting.stdout is not None
    starting.stdout.readline()
    server = int((data / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    if killed == "server and parent":
        os.kill(server, signal.SIGKILL)
    stop_at_once(starting)
    assert await read_note(data) == "kept"


async def test_a_pid_file_from_before_a_power_cut_does_not_matter(home: Path) -> None:
    data = home / "data"
    await write_note(data)
    # The number is now another program's of the same user, for whom PostgreSQL itself would wait.
    stranger = spawn(["/bin/sleep", "600"], log=home / "stranger.log", user=server_user())
    lines = f"{stranger.pid}\n{data / 'postgres'}\n1\n1\n\n127.0.0.1\n  1 1\n"
    (data / "postgres" / "postmaster.pid").write_text(lines)
    try:
        assert await read_note(data) == "kept"
    finally:
        stranger.kill()
        stranger.wait()


async def test_two_servers_never_share_a_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = home / "data"
    first = EmbeddedPostgres(data)
    await first.start()
    monkeypatch.setattr(postgres, "START_TIMEOUT_SECONDS", 0.1)
    try:
        assert first.process is not None
        with pytest.raises(EmbeddedError, match=f"still holds .*pid {first.process.pid}"):
            await EmbeddedPostgres(data).start()
    finally:
        await first.stop()


async def test_a_server_that_does_not_take_our_password_is_given_up(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = home / "data"
    await write_note(data)
    credentials = data / "credentials.json"
    found = json.loads(credentials.read_text())
    credentials.write_text(json.dumps(found | {SUPERUSER: "another"}))
    monkeypatch.setattr(postgres, "START_TIMEOUT_SECONDS", 2)
    server = EmbeddedPostgres(data)
    with pytest.raises(EmbeddedError, match=r"does not answer within 2 s.*password authentication"):
        await server.start()
    assert server.process is not None
    assert server.process.poll() is not None


async def test_credentials_that_are_lost_are_not_made_anew(home: Path) -> None:
    data = home / "data"
    await write_note(data)
    (data / "credentials.json").unlink()
    with pytest.raises(EmbeddedError, match=r"credentials\.json.* is gone: restore it"):
        await EmbeddedPostgres(data).start()


def test_a_library_that_the_system_lacks_is_named_with_its_package(tmp_path: Path) -> None:
    # A server whose own libraries are there, but not those which these need.
    for part in ("bin/postgres", "lib/libxml2.so.2"):
        (tmp_path / part).parent.mkdir()
        shutil.copy(install_postgres() / part, tmp_path / part)
    with pytest.raises(EmbeddedError, match=r"postgres .* needs libicuuc\.so.*apt-get install"):
        check_libraries(tmp_path / "bin" / "postgres")


def test_what_a_killed_first_start_unpacked_is_removed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = home / "cache"
    monkeypatch.setenv("LEO_CACHE", str(cache))
    (cache / "unpack-abandoned").mkdir(parents=True)
    (cache / "unpack-abandoned" / "half").touch()
    cache.chmod(0o711)
    installation = install_postgres()
    assert sorted(path.name for path in cache.iterdir()) == ["lock", installation.name]
    # Its launcher would leave a server that nobody stops.
    assert not [p for p in Path("/proc").glob("[0-9]*/cwd") if points_into(p, cache)]


def points_into(link: Path, folder: Path) -> bool:
    try:
        return link.readlink().is_relative_to(folder)
    except OSError:
        return False
