"""Rendering and writing of the HTML pages of reports."""

from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from mint_ray.common.files import write_text

SHARED_TEMPLATES = "mint_ray.reports"


def render_page(
    template: str, functions: dict[str, Any], package: str = SHARED_TEMPLATES, **content: Any
) -> str:
    """Render a template as HTML with all values escaped.

    A name that the template uses and that is not given raises an error.

    Args:
        template: file name of the template.
        functions: globals of the template.
        package: package with the template; it may include templates of this folder.
        content: variables of the template.
    """
    packages = dict.fromkeys([package, SHARED_TEMPLATES])
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name, ".") for name in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(functions)
    return environment.get_template(template).render(**content)


def write_page(path: Path, text: str) -> None:
    """Write a page atomically, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
