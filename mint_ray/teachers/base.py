"""What a teacher is, the registry of implementations, and how a fitted one is found again.

A fitted teacher is a folder that needs nothing else: `teacher.json` names the implementation
and the revision, weights are safetensors, labels are a catalogue in parquet.
"""

import importlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mint_ray.common.digests import digest_of, sha256
from mint_ray.common.files import write_text
from mint_ray.errors import TeacherError

MANIFEST_FILE = "teacher.json"

SEEN_COLUMNS = ("terms", "excluded_terms", "image", "description", "sex", "age")
"""All that a teacher sees of a case."""


class Teacher(Protocol):
    """A multimodal model that ranks every label for a case.

    Attributes:
        labels: catalogue label ids; a label's position is its index in the scores.
        revision: hash of weights and settings.
    """

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def revision(self) -> str: ...

    def score(self, batch: Mapping[str, Sequence[Any]]) -> NDArray[np.float32]:
        """Log-probabilities of all labels, (n, n_labels), each usable row summing to one.

        Args:
            batch: the `SEEN_COLUMNS`, see `batch_of`: `terms` and `excluded_terms` (lists of
                current HP ids), `image` (encoded bytes or None), `description` (words about the
                image, may be empty), `sex` and `age`. Nothing else is read.

        A row that cannot be judged is all NaN and leaves the other rows as they are.
        """

    def unusable_reasons(self, batch: Mapping[str, Sequence[Any]]) -> list[str]:
        """Per row why it cannot be judged, as a short name (`image_unreadable`); "" for none.

        Args:
            batch: as for `score`, as a rule the rows alone that it could not judge.
        """


def batch_of(cases: pa.Table) -> dict[str, list[Any]]:
    """What `Teacher.score` is given of a table of cases."""
    return {name: cases[name].to_pylist() for name in SEEN_COLUMNS}


Loader = Callable[[Path, Mapping[str, Any]], Teacher]

_LOADERS: dict[str, Loader] = {}
# Where the package's own teachers register themselves; imported when first asked for.
_MODULES = {
    "fusion": "mint_ray.teachers.fusion.teacher",
    "clip": "mint_ray.teachers.clip.teacher",
    "clip_fusion": "mint_ray.teachers.clip.teacher",
}


def register_teacher(name: str) -> Callable[[Loader], Loader]:
    """Decorate a function that loads a teacher from its folder and manifest.

    Raises:
        ValueError: the name is taken by another loader.
    """

    def register(loader: Loader) -> Loader:
        if _LOADERS.get(name, loader) is not loader:
            raise ValueError(f"a teacher named {name!r} is registered already")
        _LOADERS[name] = loader
        return loader

    return register


def load_teacher(folder: Path) -> Teacher:
    """The fitted teacher of a folder, whatever its implementation.

    Raises:
        TeacherError: no teacher is there, it is damaged, or its implementation is not registered.
    """
    manifest = load_manifest(folder)
    name = manifest["name"]
    if name in _MODULES:
        importlib.import_module(_MODULES[name])
    if name not in _LOADERS:
        known = ", ".join(sorted({*_MODULES, *_LOADERS}))
        raise TeacherError(
            f"{folder}: expected a registered teacher ({known}), found {name!r}; import the module "
            "that registers it"
        )
    return _LOADERS[name](folder, manifest)


def load_manifest(folder: Path) -> dict[str, Any]:
    """The content of `teacher.json`: at least `name` and `revision`.

    Raises:
        TeacherError: the file is absent or damaged.
    """
    path = folder / MANIFEST_FILE
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TeacherError(
            f"{folder}: expected a fitted teacher, found no {MANIFEST_FILE}; fit one with "
            "`mint teach CONFIG`"
        ) from error
    except (OSError, ValueError) as error:
        raise TeacherError(_damaged(path, type(error).__name__)) from error
    if not isinstance(manifest, dict) or not {"name", "revision"} <= manifest.keys():
        raise TeacherError(_damaged(path, "no name or revision"))
    return manifest


def write_manifest(
    folder: Path, name: str, files: Iterable[str], content: Mapping[str, Any]
) -> dict[str, Any]:
    """Write `teacher.json`; its revision is the hash of `content` and of the named files."""
    files = sorted(files)
    revision = _revision(folder, files, content)
    manifest = {"name": name, "revision": revision, "files": files, "content": dict(content)}
    write_text(folder / MANIFEST_FILE, json.dumps(manifest, indent=2) + "\n")
    return manifest


def check_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Make sure that the files are those that the manifest was written for.

    Raises:
        TeacherError: a file is absent, cut short or changed.
    """
    try:
        found = _revision(folder, manifest["files"], manifest["content"])
    except (OSError, KeyError, TypeError) as error:
        raise TeacherError(_damaged(folder, type(error).__name__)) from error
    if found != manifest["revision"]:
        raise TeacherError(_damaged(folder, f"content {found}, not {manifest['revision']}"))


def bad_rows(scores: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Per row of (n, n_labels) scores: it could not be judged; (n,)."""
    finite: NDArray[np.bool_] = np.all(np.isfinite(scores), axis=1)
    return ~finite


def _revision(folder: Path, files: Sequence[str], content: Mapping[str, Any]) -> str:
    contents = (bytes.fromhex(sha256(folder / name)) for name in files)
    return digest_of(json.dumps(content, sort_keys=True), *contents)[:12]


def _damaged(path: Path, found: str) -> str:
    return f"{path}: expected a fitted teacher, found a damaged one ({found}); fit it again"
