"""An earlier release beside this version: its files, and an environment that runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


class NoReleaseError(Exception):
    """There is no earlier release to be had; the text says why."""


@dataclass(frozen=True, slots=True)
class Release:
    """A version whose `leo` can be run.

    Attributes:
        name: its tag.
        tree: its files.
        python: of an environment with the packages of its lock.
    """

    name: str
    tree: Path
    python: str

    def leo(self, data_folder: Path, *arguments: str) -> str:
        """Run `leo …` of this release on a data folder; its standard output."""
        done = self._run("-m", "libs.cli", *arguments, LEO_DATA=str(data_folder))
        assert done.returncode == 0, f"{self.name}: leo {arguments}: {done.stderr}{done.stdout}"
        return done.stdout

    def place_of(self, package: str) -> Path:
        """Where this release takes a package from."""
        code = f"import {package}; print(next(iter({package}.__path__)))"
        return Path(self._run("-c", code).stdout.strip())

    def _run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, "-P", *arguments],
            env=_environment(self.tree) | settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def this_version() -> Release:
    """What is being tested."""
    return Release("this version", ROOT, sys.executable)


def last_release(folder: Path, repository: Path = ROOT) -> Release:
    """The newest release before this version, with its files in `folder`.

    A tag of this very commit is no earlier release: what runs until it is deployed is the one
    before.

    Args:
        folder: an empty one.
        repository: where its history is.

    Raises:
        NoReleaseError: no commit before this one carries a tag v…, or there is no history.
    """
    if _git(repository, "rev-parse", "--is-inside-work-tree").returncode != 0:
        raise NoReleaseError(f"{repository} has no git history")
    own = _git(repository, "tag", "--points-at", "HEAD").stdout.split()
    excluded = [f"--exclude={tag}" for tag in own]
    described = _git(repository, "describe", "--tags", "--match=v*", *excluded, "--abbrev=0")
    if described.returncode != 0:
        cut = _git(repository, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"
        raise NoReleaseError(
            "the clone is shallow, and its part of the history has no tag v…"
            if cut
            else "no release is tagged yet (v…)"
        )
    tag = described.stdout.strip()
    tree = folder / "tree"
    tree.mkdir()
    archive = folder / "tree.tar"
    subprocess.run(["git", "archive", f"--output={archive}", tag], cwd=repository, check=True)
    subprocess.run(["tar", "-xf", archive, "-C", tree], check=True)
    archive.unlink()
    if (tree / "requirements.lock").read_bytes() == (ROOT / "requirements.lock").read_bytes():
        return Release(tag, tree, sys.executable)
    return Release(tag, tree, _install(tree, folder / "venv"))


def _install(tree: Path, venv: Path) -> str:
    """An environment with what the release locked; needs the package index. Its Python."""
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    python = str(venv / "bin/python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    locked = ["--require-hashes", "--only-binary", ":all:", "-r", "requirements.lock"]
    itself = ["--no-deps", "--no-build-isolation", "--no-index", "--editable", "."]
    subprocess.run([*pip, *locked], cwd=tree, check=True)
    subprocess.run([*pip, *itself], cwd=tree, check=True)
    return python


def _environment(tree: Path) -> dict[str, str]:
    """Ours, with the packages of `tree` before those of the environment's own."""
    # Its files are not those whose coverage is measured.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    paths = (tree, tree / "libs/protogen", tree / "libs/leo_sdk/src")
    return kept | {"PYTHONPATH": os.pathsep.join(map(str, paths))}


def _git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments], cwd=repository, capture_output=True, text=True, check=False
    )
