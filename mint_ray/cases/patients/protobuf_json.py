"""Reading fields of protobuf JSON that comes from outside and may hold anything.

A field is asked for by its snake_case name and found under that or its camelCase name. What is
absent, or of another type than the one asked for, reads as empty.
"""

import unicodedata
from typing import Any

MAX_TEXT = 300
"""Most characters of an id or a name; the longest disease name known has 145."""


def clean_text(value: object) -> str:
    """One line of a string from outside, at most `MAX_TEXT` characters; "" for anything else.

    Control and formatting characters, unpaired surrogates among them, become spaces.
    """
    if not isinstance(value, str):
        return ""
    kept = (c if unicodedata.category(c)[0] != "C" else " " for c in value[: 4 * MAX_TEXT])
    return " ".join("".join(kept).split())[:MAX_TEXT].rstrip()


def get_text(node: object, key: str) -> str:
    """A string field, cleaned."""
    return clean_text(_value(node, key))


def get_texts(node: object, *keys: str) -> set[str]:
    """The string fields that are not empty, cleaned."""
    return {get_text(node, key) for key in keys} - {""}


def get_object(node: object, key: str) -> dict[str, Any]:
    """A message field."""
    found = _value(node, key)
    return found if isinstance(found, dict) else {}


def get_list(node: object, key: str) -> list[Any]:
    """A repeated field with whatever it holds."""
    found = _value(node, key)
    return found if isinstance(found, list) else []


def get_objects(node: object, key: str) -> list[dict[str, Any]]:
    """The messages of a repeated field."""
    return [item for item in get_list(node, key) if isinstance(item, dict)]


def get_enum(node: object, key: str) -> str | int | None:
    """An enumeration, by name or by number."""
    found = _value(node, key)
    return found if isinstance(found, str | int) and not isinstance(found, bool) else None


def get_flag(node: object, key: str) -> bool | None:
    """A boolean field, false where it is absent; None where it is something else."""
    found = _value(node, key)
    if found is None:
        return False
    return found if isinstance(found, bool) else None


def _value(node: object, key: str) -> Any:
    if not isinstance(node, dict):
        return None
    head, *tail = key.split("_")
    camel_case = head + "".join(word.capitalize() for word in tail)
    return node.get(camel_case, node.get(key))
