"""Reading of a config: a YAML file, overridden by `section.key=value` pairs, then validated."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

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
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"config file not found: {file} (expected a YAML file)")
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid YAML in UTF-8: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: expected sections at the top, found {type(tree).__name__}")
    rename_former(tree)
    for override in overrides:
        _apply_override(tree, override)
    return parse_config(tree, origin=str(file))


def parse_config(tree: dict[str, Any], origin: str = "config") -> Config:
    """Validate a plain tree of settings.

    Raises:
        ConfigError: a field is unknown or out of range; see `load_config`.
    """
    rename_former(tree)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        lines = [f"{origin} is not usable:"]
        for item in error.errors():
            field = ".".join(str(part) for part in item["loc"]) or "(whole config)"
            lines.append(f"  {field}: {item['msg']}{_shown_input(item)}{_hint(item)}")
        raise ConfigError("\n".join(lines)) from error


def _shown_input(item: Any) -> str:
    shown = isinstance(item.get("input"), str | int | float | bool | None)
    return f" (found {item['input']!r})" if shown and item["type"] != "missing" else ""


def _hint(item: Any) -> str:
    if item["type"] != "extra_forbidden":
        return ""
    section: Any = Config
    for part in item["loc"][:-1]:
        field = section.model_fields.get(part) if hasattr(section, "model_fields") else None
        section = field.annotation if field else None
    known = ", ".join(section.model_fields) if hasattr(section, "model_fields") else "none"
    return f"; known keys here: {known}"


def _apply_override(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"override {override!r}: expected section.key=value")
    *sections, leaf = _whole_name(key).split(".")
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
    owners = [name for name, section in _sections().items() if key in section.model_fields]
    if len(owners) > 1:
        choices = ", ".join(f"{owner}.{key}" for owner in owners)
        raise ConfigError(
            f"override {key}=...: several sections have this setting; write one of {choices}"
        )
    return f"{owners[0]}.{key}" if owners else key


def _sections() -> dict[str, type[Section]]:
    fields = {name: field.annotation for name, field in Config.model_fields.items()}
    return {
        name: kind
        for name, kind in fields.items()
        if isinstance(kind, type) and issubclass(kind, Section)
    }
