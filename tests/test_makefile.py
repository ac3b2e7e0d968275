"""What `make` installs, with Python and pip played."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIP = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/asked"
"""
PYTHON = f"""#!/bin/sh
[ "$2" = venv ] || exit 0
mkdir -p "$3/bin"
printf '%s' '{PIP}' > "$3/bin/pip"
chmod +x "$3/bin/pip"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="torch brings CUDA on Linux alone")
@pytest.mark.parametrize("has_gpu", [False, True])
def test_a_machine_without_a_gpu_takes_torch_without_cuda_first(
    has_gpu: bool, tmp_path: Path
) -> None:
    for name in ("Makefile", "requirements.lock", "requirements-models.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    programs = {"python3": PYTHON} | ({"nvidia-smi": "#!/bin/sh\n"} if has_gpu else {})
    for name, text in programs.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    for name in ("sh", "uname", "grep", "mkdir", "chmod", "touch", "dirname", "make"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    environment = {**os.environ, "PATH": str(tools)}
    subprocess.run(
        ["make", "--silent", "SHELL=sh", ".venv/.installed"],
        cwd=tmp_path,
        env=environment,
        check=True,
        timeout=60,
        capture_output=True,
    )
    asked = (tmp_path / ".venv" / "bin" / "asked").read_text().splitlines()
    without_cuda = ["whl/cpu torch==" in line for line in asked]
    locked = ["-r requirements.lock" in line for line in asked]
    assert without_cuda.count(True) == (0 if has_gpu else 1)
    assert locked.count(True) == 1
    assert has_gpu or without_cuda.index(True) < locked.index(True)
