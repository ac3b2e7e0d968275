"""Rules of the project that a test can hold."""

import ast
import re
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mint_ray"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of pyproject.toml on the package that lies in `folder`."""
    code = "import sys; from importlinter.cli import lint_imports_command as run; run()"
    command = [sys.executable, "-c", code, "--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_imports_go_downwards_only() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("cases/schema.py", "from mint_ray.students import student", "Floors:"),
        ("stages/teach.py", "from mint_ray.stages import prefer", "A stage"),
        ("teachers/clip/fit.py", "from mint_ray.cases.patients import notes", "Tissue"),
        ("students/ranking/beam.py", "import ray", "Learning code"),
        ("reports/svg.py", "import torch", "Data, measuring"),
        ("new_room/thing.py", "", "Floors:"),
    ],
)
def test_an_import_in_the_wrong_direction_is_found(
    tmp_path: Path, file: str, line: str, contract: str
) -> None:
    shutil.copytree(PACKAGE, tmp_path / "mint_ray", ignore=shutil.ignore_patterns("__pycache__"))
    changed = tmp_path / "mint_ray" / file
    changed.parent.mkdir(exist_ok=True)
    (changed.parent / "__init__.py").touch()
    with changed.open("a", encoding="utf-8") as stream:
        stream.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout
    assert re.search(rf"^{contract}.* BROKEN$", done.stdout, re.MULTILINE), done.stdout
    if line:
        at = len(changed.read_text(encoding="utf-8").splitlines())
        module = f"mint_ray.{file.removesuffix('.py').replace('/', '.')}"
        assert module in done.stdout
        assert f"(l.{at})" in done.stdout.replace("\n", " ")


def test_no_folder_is_crowded() -> None:
    modules = Counter(file.parent for file in PACKAGE.rglob("*.py") if file.stem != "__init__")
    assert max(modules.values()) <= 14, modules.most_common(1)


def test_no_file_is_long() -> None:
    sizes = {
        file: len(file.read_text(encoding="utf-8").splitlines())
        for file in (ROOT / "mint_ray").rglob("*.py")
    }
    assert max(sizes.values()) <= 400, max(sizes, key=lambda file: sizes[file])
    assert sorted(sizes.values())[len(sizes) // 2] < 200


@pytest.mark.parametrize("job", sorted((ROOT / "jobs").glob("*.py")), ids=lambda file: file.name)
def test_a_job_says_how_it_is_submitted_and_holds_no_logic(job: Path) -> None:
    tree = ast.parse(job.read_text(encoding="utf-8"))
    documentation = ast.get_docstring(tree) or ""
    assert f"jobs/{job.name}" in documentation
    assert "ray job submit" in documentation
    assert len(tree.body) <= 4


def test_readme_and_manual_show_the_recorded_results() -> None:
    script = ROOT / "benchmarks" / "results_tables.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_lock_pins_every_package_and_no_address() -> None:
    for name in ("requirements.lock", "requirements-models.lock"):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        pins = [line for line in lines if line and not line.startswith("#")]
        assert pins
        assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in pins), name


@pytest.mark.parametrize("job", sorted((ROOT / "jobs").glob("*.py")), ids=lambda job: job.stem)
def test_every_job_is_a_command(
    job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [str(job), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(job), run_name="__main__")
    assert not ended.value.code
    assert "CONFIG" in capsys.readouterr().out
