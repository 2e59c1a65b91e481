"""The SDK installs by itself, with the generated messages that it needs."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

SDK = Path(__file__).parents[3] / "libs" / "leo_sdk"

# -I and -S leave the checkout and the editable install out; third parties come behind the wheel.
IMPORT_IT = """
import sys
sys.path[:0] = [{target!r}, {third_parties!r}]
import leo_sdk, leo.ingest.v1.ingest_service_pb2 as messages, leo.rpc.v1.error_reason_pb2
for module in (leo_sdk, messages):
    assert module.__file__.startswith({target!r}), module.__file__
assert not any(name.split(".")[0] in ("libs", "services") for name in sys.modules)
"""


def test_the_wheel_is_whole_and_imports_alone(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    target = tmp_path / "target"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir"]
    options = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(
        [*pip, "wheel", *options, "--wheel-dir", str(wheels), str(SDK)],
        check=True,
        capture_output=True,
    )
    (wheel,) = wheels.glob("leo_sdk-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "leo_sdk/py.typed" in names
    assert "leo/ingest/v1/ingest_service_pb2.pyi" in names
    assert not [name for name in names if name.startswith(("libs/", "services/", "tests/"))]

    subprocess.run(
        [*pip, "install", *options, "--target", str(target), str(wheel)],
        check=True,
        capture_output=True,
    )
    script = IMPORT_IT.format(target=str(target), third_parties=sysconfig.get_path("purelib"))
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", script],
        check=True,
        cwd=tmp_path,
    )
