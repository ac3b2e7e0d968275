"""What every HTML page of a report shares: how it is rendered, and how it is written."""

from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from mint_ray.common.files import write_text

OWN = "mint_ray.reports"


def render_page(
    template: str, functions: dict[str, Any], package: str = OWN, **content: Any
) -> str:
    """A template as HTML, everything escaped; `functions` are its globals.

    Args:
        package: whose template it is; it may include those of this folder.
    """
    packages = dict.fromkeys([package, OWN])
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
    """Write a page; it appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
