"""Settings of DeepSpeed by name or file, read without DeepSpeed."""

import json
from pathlib import Path
from typing import Any

from mint_ray.errors import ConfigError

OFF = "off"
PRESETS = Path(__file__).parent / "presets"


def deepspeed_config(setting: str) -> dict[str, Any]:
    """Read the DeepSpeed config of a preset's name or a JSON file's path.

    Raises:
        ConfigError: the preset or file does not exist, is not JSON, or has no ZeRO stage 1 to 3.
    """
    known = sorted(preset.stem for preset in PRESETS.glob("*.json"))
    path = PRESETS / f"{setting}.json" if setting in known else Path(setting)
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        stage = config["zero_optimization"]["stage"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"training.deepspeed={setting}: expected {OFF}, {', '.join(known)}, or a DeepSpeed "
            "JSON file with zero_optimization.stage, found nothing of the kind "
            f"({type(error).__name__}); name a preset or such a file"
        ) from error
    if stage not in (1, 2, 3):
        raise ConfigError(
            f"training.deepspeed={setting}: expected ZeRO stage 1, 2 or 3, found {stage}; change "
            "zero_optimization.stage"
        )
    return config
