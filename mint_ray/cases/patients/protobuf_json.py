"""Field access for protobuf JSON from outside, whose values may be of any type.

A field is requested by its snake_case name and found under that or its camelCase name. A field
that is absent, or of another type than the requested one, reads as empty.
"""

import unicodedata
from typing import Any

MAX_TEXT = 300
"""Most characters of an id or a name; the longest known disease name has 145."""


def clean_text(value: object) -> str:
    """Reduce a string from outside to one line of at most `MAX_TEXT` characters.

    Control and formatting characters, unpaired surrogates among them, become spaces. A value that
    is not a string gives "".
    """
    if not isinstance(value, str):
        return ""
    kept = (c if unicodedata.category(c)[0] != "C" else " " for c in value[: 4 * MAX_TEXT])
    return " ".join("".join(kept).split())[:MAX_TEXT].rstrip()


def get_text(node: object, key: str) -> str:
    """Return a string field, cleaned."""
    return clean_text(_value(node, key))


def get_texts(node: object, *keys: str) -> set[str]:
    """Return the string fields that are not empty, cleaned."""
    return {get_text(node, key) for key in keys} - {""}


def get_object(node: object, key: str) -> dict[str, Any]:
    """Return a message field."""
    value = _value(node, key)
    return value if isinstance(value, dict) else {}


def get_list(node: object, key: str) -> list[Any]:
    """Return a repeated field; its items may be of any type."""
    value = _value(node, key)
    return value if isinstance(value, list) else []


def get_objects(node: object, key: str) -> list[dict[str, Any]]:
    """Return the messages of a repeated field; other items are dropped."""
    return [item for item in get_list(node, key) if isinstance(item, dict)]


def get_enum(node: object, key: str) -> str | int | None:
    """Return an enumeration, by name or by number; None if it is neither."""
    value = _value(node, key)
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def get_flag(node: object, key: str) -> bool | None:
    """Return a boolean field: False if it is absent, None if it is not a boolean."""
    value = _value(node, key)
    if value is None:
        return False
    return value if isinstance(value, bool) else None


def _value(node: object, key: str) -> Any:
    if not isinstance(node, dict):
        return None
    head, *tail = key.split("_")
    camel_case = head + "".join(word.capitalize() for word in tail)
    return node.get(camel_case, node.get(key))
