"""README and manual: short, current, and with links that lead somewhere."""

import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
MANUAL = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [*MANUAL, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "cluster/README.md"))]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Ids of a page's headings, as GitHub and MkDocs make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [unicodedata.normalize("NFKD", title).lower() for title in titles]
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title).strip()) for title in plain}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_files_of_the_code_that_pages_name_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"(?<![\w/.-])((?:\w+/)+\w+\.(?:py|ya?ml))", text)
    for name in named:
        assert (ROOT / name).is_file() or (ROOT / "mint_ray" / name).is_file(), name


def test_the_page_of_settings_is_current() -> None:
    script = ROOT / "scripts" / "configuration_page.py"
    command = [sys.executable, str(script), "--check"]
    here = {**os.environ, "PYTHONPATH": str(ROOT)}  # this checkout, whichever is installed
    done = subprocess.run(command, env=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"[\w/-]+\.md", yaml.dump(yaml.safe_load(text)["nav"])))
    assert listed == {page.relative_to(ROOT / "docs").as_posix() for page in MANUAL}


def test_the_package_that_fetches_patients_gets_an_environment_of_its_own() -> None:
    """It needs an older protobuf than Ray Serve."""
    package = "phenopacket-store-toolkit"
    lines = [line for page in PAGES for line in page.read_text(encoding="utf-8").splitlines()]
    installs = [line.split() for line in lines if package in line and "install" in line]
    assert installs
    assert all(re.fullmatch(r"\.(?!venv/)\w+/bin/pip", words[0]) for words in installs)
    required = (ROOT / "requirements.lock", ROOT / "pyproject.toml")
    assert not [file for file in required if package in file.read_text(encoding="utf-8")]
