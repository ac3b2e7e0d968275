"""Field access for protobuf JSON from outside, whose values may be of any type.

A field is requested by its snake_case name and found under that, its camelCase name, or another
spelling that differs in case or underscores only. A field that is absent, or of another type than
the requested one, reads as empty.
"""

import math
import unicodedata
from functools import lru_cache
from typing import Any

MAX_TEXT = 300
"""Most characters of an id or a name; the longest known disease name has 145."""

_FLAGS = {
    **dict.fromkeys(("true", "yes", "y", "t", "1"), True),
    **dict.fromkeys(("false", "no", "n", "f", "0", "", "null", "none", "~"), False),
}


def clean_text(value: object) -> str:
    """Reduce a string from outside to one line of at most `MAX_TEXT` characters.

    Control and formatting characters, unpaired surrogates among them, become spaces. A value that
    is not a string gives "".
    """
    if not isinstance(value, str):
        return ""
    text = value[: 4 * MAX_TEXT]
    if not text.isprintable():
        text = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text)
    return " ".join(text.split())[:MAX_TEXT].rstrip()


def get_field(node: object, key: str) -> Any:
    """Return a field of any type; None if it is absent."""
    if not isinstance(node, dict):
        return None
    for name in (_camel_case(key), key):
        if name in node:
            return node[name]
    wanted = fold_key(key)
    return next((value for name, value in node.items() if fold_key(name) == wanted), None)


@lru_cache(maxsize=4096)
def fold_key(key: object) -> str:
    """Return a field's name without case and underscores."""
    return key.replace("_", "").lower() if isinstance(key, str) else ""


@lru_cache(maxsize=256)
def _camel_case(key: str) -> str:
    head, *tail = key.split("_")
    return head + "".join(word.capitalize() for word in tail)


def get_text(node: object, key: str) -> str:
    """Return a string field, cleaned."""
    return clean_text(get_field(node, key))


def get_texts(node: object, *keys: str) -> set[str]:
    """Return the string fields that are not empty, cleaned."""
    return {get_text(node, key) for key in keys} - {""}


def get_scalar(node: object, key: str) -> str:
    """Return a string or a finite number as cleaned text."""
    value = get_field(node, key)
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return clean_text(repr(value) if is_number else value)


def get_object(node: object, key: str) -> dict[str, Any]:
    """Return a message field."""
    value = get_field(node, key)
    return value if isinstance(value, dict) else {}


def get_list(node: object, key: str) -> list[Any]:
    """Return a repeated field; its items may be of any type.

    One message in the place of a list, as converters from XML write it, is its only item.
    """
    value = get_field(node, key)
    if isinstance(value, dict):
        return [value] if value else []
    return value if isinstance(value, list) else []


def get_objects(node: object, key: str) -> list[dict[str, Any]]:
    """Return the messages of a repeated field; other items are dropped."""
    return [item for item in get_list(node, key) if isinstance(item, dict)]


def get_enum(node: object, key: str) -> str | int | None:
    """Return an enumeration, by name in capitals or by number; None if it is neither.

    The name may have that of its enumeration before it: `PROGRESS_STATUS_SOLVED` of
    `progressStatus`.
    """
    value = get_field(node, key)
    if isinstance(value, str):
        return clean_text(value).upper().replace(" ", "_").removeprefix(f"{key.upper()}_")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def get_flag(node: object, key: str) -> bool | None:
    """Return a boolean field: False if it is absent, None if it is not a boolean.

    The words and digits that people and converters write for booleans are read too.
    """
    value = get_field(node, key)
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, int | float):
        return bool(value) if value in (0, 1) else None
    return _FLAGS.get(value.strip().lower()) if isinstance(value, str) else None
