"""Rules of the project that a test can hold."""

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEARNING = (
    "cases",
    "images",
    "knowledge",
    "teachers",
    "preferences",
    "students",
    "evaluation",
    "tracking",
    "tuning",
)


def imports(file: Path) -> set[str]:
    """Top-level names of every module that a file imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("folder", LEARNING)
def test_learning_code_does_not_import_ray(folder: str) -> None:
    for file in (ROOT / "mint_ray" / folder).rglob("*.py"):
        assert not {name for name in imports(file) if name.split(".")[0] == "ray"}, file


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("cases", {"torch", "transformers"}),
        ("knowledge", {"torch", "transformers"}),
        ("preferences", {"torch", "transformers"}),
        ("evaluation", {"torch", "transformers", "mlflow"}),
        ("tracking", {"torch", "mint_ray.stages", "mint_ray.config.config"}),
        ("tuning", {"torch", "transformers", "mlflow", "mint_ray.stages"}),
    ],
)
def test_folders_know_only_what_they_may(folder: str, forbidden: set[str]) -> None:
    for file in (ROOT / "mint_ray" / folder).rglob("*.py"):
        names = imports(file)
        assert not {n for n in names if n in forbidden or n.split(".")[0] in forbidden}, file


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
