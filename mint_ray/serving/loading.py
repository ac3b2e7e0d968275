"""Loading of a student, from a folder or the model registry, into a warm predictor."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mint_ray.common.imports import collection_paused
from mint_ray.students.student_folder import read_info
from mint_ray.tasks.task import TASKS
from mint_ray.tracking.registry import SCHEME, Registry

if TYPE_CHECKING:  # slow to import
    from mint_ray.serving.predictor import Predictor


@dataclass(frozen=True)
class Loaded:
    """A loaded predictor with the lineage of its student."""

    predictor: "Predictor"
    lineage: Mapping[str, Any]
    at: float = field(default_factory=time.time)
    """When it was loaded, in seconds since 1970."""

    def about(self) -> dict[str, Any]:
        """Return name, version, coverage, lineage and the time of loading (seconds since 1970).

        `documents` says whether `explain: documents` is answered.
        """
        return {
            **self.predictor.model.model_dump(),
            "documents": self.predictor.has_documents,
            "lineage": self.lineage,
            "loaded": int(self.at),
        }


def load_predictor(
    config: Mapping[str, Any],
    student: str,
    name: str | None = None,
    beside: "Predictor | None" = None,
) -> Loaded:
    """Load a student and warm it up.

    Args:
        config: `batch_size` (requests computed together), `tracking`, the URI of the registry, and
            `documents`, the folder of a finished `index` step, where there is one.
        student: a folder, or `models:/NAME@ALIAS` or `models:/NAME/VERSION` of the registry.
        name: name of the model in answers; None for the registered name, or `mint-text` and
            `mint-vision` for a folder.
        beside: a predictor whose base model may be shared; see `Predictor`.

    Raises:
        RegistryError: the registry does not have the student.
        MintError: the student cannot be loaded.
    """
    # Only replicas of a student need it: it takes seconds to import, and hundreds of megabytes.
    with collection_paused():
        from mint_ray.serving.predictor import Predictor

    documents = config.get("documents")
    settings: dict[str, Any] = {
        "batch_size": int(config["batch_size"]),
        "beside": beside,
        "documents": None if documents is None else Path(documents),
    }
    if not student.startswith(SCHEME):
        folder = Path(student)
        kind = "text" if TASKS[read_info(folder).task].input_modality == "note" else "vision"
        name, version = name or f"mint-{kind}", folder.name
        predictor = Predictor(folder, name=name, version=version, **settings)
        predictor.warm_up()
        return Loaded(predictor, predictor.student.info.lineage)
    registry = Registry(config["tracking"])
    registered = registry.find(student)
    with tempfile.TemporaryDirectory(prefix="mint-serve-") as work:
        folder = registry.download(f"{SCHEME}{registered.name}/{registered.number}", Path(work))
        name, version = name or registered.name, str(registered.number)
        predictor = Predictor(folder, name=name, version=version, **settings)
    predictor.warm_up()
    tags = {k: v for k, v in registered.tags.items() if k.startswith("mint_ray.")}
    return Loaded(predictor, tags or predictor.student.info.lineage)


def is_outdated(config: Mapping[str, Any], loaded: Loaded) -> bool:
    """Return whether the registry now has another version under the student's name.

    A student from a folder is never outdated.

    Raises:
        RegistryError: the registry does not have the student, or cannot be reached.
    """
    student = str(config["student"])
    if not student.startswith(SCHEME):
        return False
    return str(Registry(config["tracking"]).find(student).number) != loaded.predictor.model.version
