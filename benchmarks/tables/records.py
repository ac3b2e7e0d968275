"""Committed results, and the words that all tables share."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"


def recorded(name: str) -> dict[str, Any] | None:
    """Read a committed result; None if there is none yet."""
    file = RESULTS / f"{name}.json"
    if not file.exists():
        return None
    result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return result


def machine(result: dict[str, Any]) -> str:
    """Describe the machine of a result, with the day where it is recorded."""
    hardware = result["hardware"]
    words = f"{hardware['cores']} cores of {hardware['cpu']}, {hardware['gpu'] or 'no GPU'}"
    return words + (f", {result['date'][:10]}" if "date" in result else "")


def percent(value: list[float]) -> str:
    """Write a share and its interval (value, low, high) in percent."""
    middle, low, high = (100 * v for v in value)
    return f"{middle:.1f} [{low:.1f}, {high:.1f}]"
