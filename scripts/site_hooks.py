"""Hooks of the manual's build (MkDocs): an API page per room, and the recorded plots.

A room is a folder of the package. Pages in `docs/` link to plots at their path in the repository,
`../benchmarks/results/NAME.svg`, so that the links also work on GitHub; the built site gets copies.
"""

import ast
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mint_ray"
PLOTS = ROOT / "benchmarks" / "results"
INDEX = "api/index.md"


def rooms() -> list[str]:
    """Return the names of the folders of the package, in alphabetical order."""
    return sorted(file.parent.name for file in PACKAGE.glob("*/__init__.py"))


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the pages of the rooms to the navigation."""
    section: dict[str, Any] = next(item for item in config.nav if "API" in item)  # type: ignore[union-attr]
    section["API"] += [{f"mint_ray.{room}": f"api/{room}.md"} for room in rooms()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the rooms, and the plots."""
    for room in rooms():
        page = f"# mint_ray.{room}\n\n::: mint_ray.{room}\n"
        files.append(File.generated(config, f"api/{room}.md", content=page))
    for plot in sorted(PLOTS.glob("*.svg")):
        files.append(File.generated(config, f"plots/{plot.name}", abs_src_path=str(plot)))
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Point links to plots at the site's copies, list the rooms, keep numbers on one line."""
    markdown = markdown.replace("../benchmarks/results/", "plots/")
    if page.file.src_uri == INDEX:
        markdown = markdown.replace("<!-- rooms -->", _table())
    markdown = re.sub(r"(\[-?\+?[\d.]+), (?=[-+\d.]+\])", "\\1,\N{NO-BREAK SPACE}", markdown)
    return re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", markdown)


def _table() -> str:
    rows = [
        f"| [`{room}`]({room}.md) | {_first_line(PACKAGE / room / '__init__.py')} |"
        for room in rooms()
    ]
    return "\n".join(["| Room | What is in it |", "|---|---|", *rows])


def _first_line(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]
