"""Records for the MLflow store: plain JSON values within MLflow's limits."""

import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Record = dict[str, Any]
"""`kind` (params, tags, metrics, artifact or status), and the values that this kind needs."""

MAX_KEY = 250  # characters, of every key
MAX_PARAM = 6000  # characters
MAX_TAG = 5000  # characters; servers differ between 5,000 and 8,000
MAX_PARAMS_PER_CALL = 100
MAX_METRICS_PER_CALL = 1000

_BAD_IN_KEYS = re.compile(r"[^\w\-. /:]")


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to dotted keys: {"a": {"b": 1}} becomes {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def params_records(settings: Mapping[str, Any]) -> list[Record]:
    """Return records of settings as text, with values cut to `MAX_PARAM` characters."""
    values = {clean_key(k): cut(str(v), MAX_PARAM) for k, v in flatten(settings).items()}
    return [{"kind": "params", "values": part} for part in _parts(values, MAX_PARAMS_PER_CALL)]


def tags_records(tags: Mapping[str, Any]) -> list[Record]:
    """Return records of tags as text, with values cut to `MAX_TAG` characters."""
    values = {clean_key(k): cut(str(v), MAX_TAG) for k, v in flatten(tags).items()}
    return [{"kind": "tags", "values": part} for part in _parts(values, MAX_PARAMS_PER_CALL)]


def metrics_records(metrics: Mapping[str, Any], step: int, at: float | None = None) -> list[Record]:
    """Return records of numbers with step and time (`at` in seconds, else now), without None.

    Raises:
        TypeError: a value is not a number. Text never goes into a metric.
    """
    values = {}
    for key, value in flatten(metrics).items():
        if value is None:
            continue
        if isinstance(value, str | bytes):
            raise TypeError(f"metric {key} must be a number, found {type(value).__name__}")
        values[clean_key(key)] = float(value)
    time_ms = _milliseconds() if at is None else round(1000 * at)
    return [
        {"kind": "metrics", "values": part, "step": step, "time": time_ms}
        for part in _parts(values, MAX_METRICS_PER_CALL)
    ]


def artifact_record(path: Path) -> Record:
    """Return the record of a file or folder to copy to the artifact store."""
    return {"kind": "artifact", "path": str(path.resolve())}


def status_record(status: str) -> Record:
    """Return the record of a status: RUNNING, FINISHED, FAILED or KILLED."""
    return {"kind": "status", "status": status, "time": _milliseconds()}


def clean_key(key: str) -> str:
    """Return the key, cut to `MAX_KEY`, with `_` for characters that MLflow does not accept."""
    return _BAD_IN_KEYS.sub("_", key)[:MAX_KEY]


def cut(text: str, longest: int) -> str:
    """Return the text, with an ellipsis for its end if it has more than `longest` characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _parts(values: Mapping[str, Any], size: int) -> Iterable[dict[str, Any]]:
    items = list(values.items())
    for start in range(0, len(items), size):
        yield dict(items[start : start + size])


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
