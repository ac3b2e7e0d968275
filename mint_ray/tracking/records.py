"""What is sent to the store, as plain JSON records within MLflow's limits."""

import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Record = dict[str, Any]
"""`kind` (params, tags, metrics, artifact or status) and what that kind needs."""

MAX_KEY = 250  # characters, of every key
MAX_PARAM = 6000  # characters
MAX_TAG = 5000  # characters; servers differ between 5,000 and 8,000
MAX_PARAMS_PER_CALL = 100
MAX_METRICS_PER_CALL = 1000

_BAD_IN_KEYS = re.compile(r"[^\w\-. /:]")


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings with dotted keys: {"a": {"b": 1}} becomes {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def params_records(settings: Mapping[str, Any]) -> list[Record]:
    """Settings as text, values cut to `MAX_PARAM`."""
    values = {clean_key(k): cut(str(v), MAX_PARAM) for k, v in flatten(settings).items()}
    return [{"kind": "params", "values": part} for part in _parts(values, MAX_PARAMS_PER_CALL)]


def tags_records(tags: Mapping[str, Any]) -> list[Record]:
    """Tags as text, values cut to `MAX_TAG`."""
    values = {clean_key(k): cut(str(v), MAX_TAG) for k, v in flatten(tags).items()}
    return [{"kind": "tags", "values": part} for part in _parts(values, MAX_PARAMS_PER_CALL)]


def metrics_records(metrics: Mapping[str, Any], step: int) -> list[Record]:
    """Numbers with step and time; None is left out.

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
    now = _milliseconds()
    return [
        {"kind": "metrics", "values": part, "step": step, "time": now}
        for part in _parts(values, MAX_METRICS_PER_CALL)
    ]


def artifact_record(path: Path) -> Record:
    """A file or folder to copy to the artifact store."""
    return {"kind": "artifact", "path": str(path.resolve())}


def status_record(status: str) -> Record:
    """RUNNING, FINISHED, FAILED or KILLED."""
    return {"kind": "status", "status": status, "time": _milliseconds()}


def clean_key(key: str) -> str:
    """The key with characters that MLflow refuses replaced by `_`, cut to `MAX_KEY`."""
    return _BAD_IN_KEYS.sub("_", key)[:MAX_KEY]


def cut(text: str, longest: int) -> str:
    """The text, its end replaced by an ellipsis where it is too long."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _parts(values: Mapping[str, Any], size: int) -> Iterable[dict[str, Any]]:
    items = list(values.items())
    for start in range(0, len(items), size):
        yield dict(items[start : start + size])


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
