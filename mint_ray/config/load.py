"""Reading of a config: a YAML file, overridden by `section.key=value` pairs, then validated."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from mint_ray.config.base import Section
from mint_ray.config.config import Config
from mint_ray.config.former_names import FORMER_NAMES, current_name, rename_former, warn
from mint_ray.errors import ConfigError


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a config from a YAML file, apply `section.key=value` overrides, and validate it.

    Raises:
        ConfigError: the file is missing or not a mapping, an override is malformed, or a
            field is unknown or out of range; the message names the field, the value and
            what is allowed.
    """
    file = _find(Path(path))
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid YAML in UTF-8: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: expected sections at the top, found {type(tree).__name__}")
    rename_former(tree)
    given = {_apply_override(tree, override): override for override in overrides}
    return parse_config(tree, origin=str(file), overrides=given)


def _find(path: Path) -> Path:
    """Return the file of a config; the name alone is enough for one in `configs/`.

    Raises:
        ConfigError: there is no such file.
    """
    if path.is_file():
        return path
    bundled = Path(__file__).parents[2] / "configs"
    is_name = path.parent == Path(".")
    names = (path.name, f"{path.name}.yaml") if is_name else ()
    for candidate in (folder / name for folder in (Path("configs"), bundled) for name in names):
        if candidate.is_file():
            return candidate
    known = ", ".join(sorted(file.name for file in bundled.glob("*.yaml")))
    ours = f"; in {bundled} are {known}" if known else ""
    raise ConfigError(f"config file not found: {path} (expected a YAML file){ours}")


def parse_config(
    tree: dict[str, Any], origin: str = "config", overrides: Mapping[str, str] | None = None
) -> Config:
    """Validate a plain tree of settings.

    Args:
        tree: sections with their settings.
        origin: where they are from, for errors.
        overrides: settings of the command line by their dotted names, for errors too.

    Raises:
        ConfigError: a field is unknown or out of range; see `load_config`.
    """
    rename_former(tree)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        lines, sources = list[str](), list[str]()
        for item in error.errors():
            field = ".".join(str(part) for part in item["loc"]) or "(whole config)"
            override = _override_of(field, overrides or {})
            sources.append("the command line" if override else origin)
            where = f" (override {override})" if override else ""
            lines.append(f"  {field}: {item['msg']}{_shown_input(item)}{_hint(item)}{where}")
        named = " and ".join(dict.fromkeys(sources))
        raise ConfigError("\n".join([f"{named}: not usable:", *lines])) from error


def _override_of(field: str, overrides: Mapping[str, str]) -> str | None:
    """Return the override that set a field, or a part of it."""
    for name, override in overrides.items():
        if f"{field}.".startswith(f"{name}."):
            return override
    return None


def _shown_input(item: Any) -> str:
    shown = isinstance(item.get("input"), str | int | float | bool | None)
    return f" (found {item['input']!r})" if shown and item["type"] != "missing" else ""


def _hint(item: Any) -> str:
    if item["type"] != "extra_forbidden":
        return ""
    section: Any = Config
    for part in item["loc"][:-1]:
        field = section.model_fields.get(part) if hasattr(section, "model_fields") else None
        if get_origin(section) is dict:  # sections by a name of the user's
            section = get_args(section)[1]
        else:
            section = field.annotation if field else None
    known = ", ".join(section.model_fields) if hasattr(section, "model_fields") else "none"
    return f"; known keys here: {known}"


def _apply_override(tree: dict[str, Any], override: str) -> str:
    """Set a setting in the tree and return its dotted name."""
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"override {override!r}: expected section.key=value")
    if not text.strip():
        # Such is what the shell makes of key=$(command) where the command fails.
        raise ConfigError(
            f"override {override!r}: expected a value, found none; if a command was to give it, "
            f"run that command alone to see why it fails; {key}=null sets no value"
        )
    name = _whole_name(key)
    *sections, leaf = name.split(".")
    node = tree
    for section in sections:
        node[section] = node.get(section) or {}
        node = node[section]
        if not isinstance(node, dict):
            raise ConfigError(f"override {override!r}: {section} is not a section")
    try:
        node[leaf] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"override {override!r}: expected a YAML value, found {text!r}"
        ) from error
    return name


def _whole_name(key: str) -> str:
    """Return the dotted name of a setting: `training.objective` for `objective`.

    A name without its section is enough if only one section has it.
    """
    if key in Config.model_fields:
        return key
    current = current_name(key)
    if current != key:
        warn(next(former for former, name in FORMER_NAMES.items() if name == current))
        return current
    if "." in key:
        return key
    sections = _sections_of(Config)
    owners = [name for name, section in sections.items() if key in section.model_fields]
    # `trials=3` means the number of a campaign, and not the section `training.trials`.
    owners = [name for name in owners if key not in _sections_of(sections[name])] or owners
    if len(owners) > 1:
        choices = ", ".join(f"{owner}.{key}" for owner in owners)
        raise ConfigError(
            f"override {key}=...: several sections have this setting; write one of {choices}"
        )
    return f"{owners[0]}.{key}" if owners else key


def _sections_of(model: type[BaseModel]) -> dict[str, type[Section]]:
    fields = {name: field.annotation for name, field in model.model_fields.items()}
    return {
        name: kind
        for name, kind in fields.items()
        if isinstance(kind, type) and issubclass(kind, Section)
    }
