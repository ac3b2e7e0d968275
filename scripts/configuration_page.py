"""Page docs/configuration.md, written from the docstrings of the configuration tree.

python scripts/configuration_page.py          # rewrite docs/configuration.md
python scripts/configuration_page.py --check  # fail if it differs
"""

import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as bounds
from pydantic.fields import FieldInfo

from mint_ray.config.base import Section
from mint_ray.config.config import Config
from mint_ray.config.tune import Choice, Range
from mint_ray.pipeline.steps import STEPS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "configuration.md"

HEAD = """\
# Configuration

A config is a YAML file with the sections below. Every setting has a default, so that a file names
only what differs. On the command line, `section.key=value` overrides the file:

```bash
mint run configs/demo.yaml training.objective=dpo training.epochs=3
```

- A value is read as YAML: `null` is empty, `[1, 4]` is a list.
- Where only one section has a setting of that name, the name alone will do: `objective=dpo`.
- An unknown key or a value out of range is refused before any work. The message names the field,
  the value that was found, and what is allowed.
- A changed setting runs some steps again, and the steps that read their output. Each section says
  which. [The command](cli.md) describes how finished outputs are found.

This page is written from the docstrings in `mint_ray/config/` by
`python scripts/configuration_page.py`; a test holds it current.
"""

NAMES: dict[Any, str] = {
    int: "int",
    float: "float",
    str: "text",
    bool: "bool",
    Path: "path",
    list[str]: "list of texts",
}


def page() -> str:
    """Return the text of the whole page."""
    parts = [HEAD, _section("Top level", "", Config)]
    parts += [_section(f"`{name}`", name, kind) for name, kind in _sections(Config)]
    return "\n".join(parts)


def _sections(model: type[Section], prefix: str = "") -> Iterator[tuple[str, type[Section]]]:
    """Yield dotted name and class of all sections below one, in order, each class once."""
    shown: set[type[Section]] = set()
    for name, field in model.model_fields.items():
        kind = _section_of(field.annotation)
        if kind is None or kind in shown:
            continue
        shown.add(kind)
        same = [n for n, f in model.model_fields.items() if _section_of(f.annotation) is kind]
        yield "`, `".join(f"{prefix}{n}" for n in same), kind
        yield from _sections(kind, f"{prefix}{name}.")
    if "space" in model.model_fields:
        yield f"{prefix}space` of `kind: choice", Choice
        yield f"{prefix}space` of `kind: uniform | loguniform | int | logint", Range


def _section(title: str, name: str, model: type[Section]) -> str:
    rows = [
        f"| `{key}` | {_cell(_type(field))} | {_cell(_default(field))} | {_cell(_about(field))} |"
        for key, field in model.model_fields.items()
        if _section_of(field.annotation) is None
    ]
    about = " ".join((model.__doc__ or "").split()) if name else "A whole run."
    lines = [f"## {title}", "", about, ""]
    if name and "`" not in name and "." not in name:
        lines += [f"A change here runs again: {_steps(name)}.", ""]
    if not rows:
        return "\n".join(lines)
    return "\n".join(
        [*lines, "| Setting | Type | Default | Meaning |", "|---|---|---|---|", *rows, ""]
    )


def _steps(section: str) -> str:
    """List the steps whose hash includes settings of a section."""
    whole, partly = [], []
    for step in STEPS:
        if section in step.settings:
            whole.append(f"`{step.name}`")
        elif any(name.startswith(f"{section}.") for name in step.settings):
            partly.append(f"`{step.name}` (some settings)")
    return ", ".join([*whole, *partly]) or "no step"


def _section_of(annotation: Any) -> type[Section] | None:
    """Return the class of a field's section, also of an optional one; None for a plain setting."""
    classes = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
    return next((k for k in classes if issubclass(k, Section)), None)


def _type(field: FieldInfo) -> str:
    limits = [text for item in field.metadata for text in _limits(item)]
    return ", ".join([_named(field.annotation), *limits])


def _named(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        limits = [text for item in inner[1:] for text in _limits(item)]
        return " ".join([_named(inner[0]), *limits])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join("empty" if i is type(None) else _named(i) for i in inner)
    if origin is tuple:
        kinds = [kind for kind in inner if kind is not ...]
        if len(kinds) == 1 or len({*kinds}) == 1:
            return f"list of {_named(kinds[0])}"
        return "[" + ", ".join(map(_named, kinds)) + "]"
    if origin is dict:
        return "mapping"
    return NAMES[annotation]


def _limits(item: Any) -> Iterator[str]:
    """Yield the limits of a constraint.

    Limits of validator functions cannot be read here; the field's docstring states them.
    """
    if isinstance(item, bounds.Ge):
        yield f"≥ {item.ge}"
    if isinstance(item, bounds.Gt):
        yield f"> {item.gt}"
    if isinstance(item, bounds.Le):
        yield f"≤ {item.le}"
    if isinstance(item, bounds.Lt):
        yield f"< {item.lt}"
    if isinstance(item, bounds.MinLen):
        yield "not empty"
    if pattern := getattr(item, "pattern", None):
        yield f"pattern `{pattern}`"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "empty"
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    """Format a value in YAML's flow style."""
    if isinstance(value, Section):
        return _plain(value.model_dump(mode="json", exclude_defaults=True))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_plain(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_plain, value)) + "]"
    if isinstance(value, str):
        return value if value and "{" not in value and " " not in value else json.dumps(value)
    return json.dumps(value) if isinstance(value, bool) else f"{value}"


def _about(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _cell(text: str) -> str:
    """Escape the characters that would end a cell of a table."""
    return text.replace("|", "\\|")


def main() -> None:
    """Rewrite the page, or check that it is current."""
    if "--check" in sys.argv[1:]:
        current = PAGE.read_text(encoding="utf-8") == page()
        sys.exit(0 if current else f"{PAGE.name} differs from mint_ray/config; run {__file__}")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
