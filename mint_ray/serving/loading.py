"""From a folder, or the registry, to a warm predictor."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mint_ray.serving.predictor import Predictor
from mint_ray.students.student import read_info
from mint_ray.tasks.task import TASKS
from mint_ray.tracking.registry import SCHEME, Registry


@dataclass(frozen=True)
class Loaded:
    """An predictor, and what its student was made from."""

    predictor: Predictor
    lineage: Mapping[str, Any]
    at: float = field(default_factory=time.time)

    def about(self) -> dict[str, Any]:
        """Name, version, coverage, lineage, and when it was loaded (seconds since 1970)."""
        return {
            **self.predictor.model.model_dump(),
            "lineage": self.lineage,
            "loaded": int(self.at),
        }


def load_predictor(
    config: Mapping[str, Any],
    student: str,
    name: str | None = None,
    beside: Predictor | None = None,
) -> Loaded:
    """The warm predictor of a student.

    Args:
        config: `batch_size`, and `tracking`, where the registry is.
        student: a folder, or `models:/NAME@ALIAS` or `models:/NAME/VERSION`.
        name: what answers call it; None for its own name.
        beside: see `Predictor`.

    Raises:
        RegistryError: the registry does not have it.
        MintError: it cannot be loaded.
    """
    size = int(config["batch_size"])
    if not student.startswith(SCHEME):
        folder = Path(student)
        kind = "text" if TASKS[read_info(folder).task].input_modality == "note" else "vision"
        own, version = name or f"mint-{kind}", folder.name
        predictor = Predictor(folder, name=own, version=version, batch_size=size, beside=beside)
        predictor.warm_up()
        return Loaded(predictor, predictor.student.info.lineage)
    registry = Registry(config["tracking"])
    found = registry.find(student)
    with tempfile.TemporaryDirectory(prefix="mint-serve-") as work:
        folder = registry.download(f"{SCHEME}{found.name}/{found.number}", Path(work))
        own, version = name or found.name, str(found.number)
        predictor = Predictor(folder, name=own, version=version, batch_size=size, beside=beside)
    predictor.warm_up()
    tags = {k: v for k, v in found.tags.items() if k.startswith("mint_ray.")}
    return Loaded(predictor, tags or predictor.student.info.lineage)


def is_outdated(config: Mapping[str, Any], loaded: Loaded) -> bool:
    """Whether the registry now has another version behind the student's name.

    Raises:
        RegistryError: the registry does not have it, or is away.
    """
    student = str(config["student"])
    if not student.startswith(SCHEME):
        return False
    return str(Registry(config["tracking"]).find(student).number) != loaded.predictor.model.version
