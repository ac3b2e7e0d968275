"""Interface of the teachers, their loaders and plugins, and the manifest of a fitted teacher.

A fitted teacher is a folder that needs nothing else: `teacher.json` names the implementation
and the revision, weights are safetensors, labels are a catalogue in parquet.
"""

import importlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mint_ray.common.digests import digest_of, sha256
from mint_ray.common.files import write_text
from mint_ray.common.partial_answers import ALL_ANSWERED
from mint_ray.config.config import Config
from mint_ray.errors import TeacherError

MANIFEST_FILE = "teacher.json"

SEEN_COLUMNS = (
    "case_id",
    "note",
    "terms",
    "excluded_terms",
    "image",
    "description",
    "sex",
    "age",
)
"""Columns of a case that a teacher reads; it gets no others. None of them holds the answer."""


class Teacher(Protocol):
    """A multimodal model that ranks the labels of the catalogue for a case.

    A teacher may answer for some labels of a case only. It then has one more attribute, `floor`:
    the log-probability that it gives to every label it does not answer for, below those of the
    answered ones. A floor is no ranking: such labels are never chosen nor listed, a known answer
    among them counts as not reached, and where rejected labels are taken from them, they are drawn
    at random. A teacher without the attribute answers for every label.

    Attributes:
        labels: catalogue label ids; a label's position is its index in the scores.
        revision: hash of weights and settings.
    """

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def revision(self) -> str: ...

    def score(self, batch: Mapping[str, Sequence[Any]]) -> NDArray[np.float32]:
        """Return the log-probabilities of all labels.

        Args:
            batch: the `SEEN_COLUMNS`, see `batch_of`: `case_id`, `note` (the student's text, may
                be empty), `terms` and `excluded_terms` (lists of current HP ids), `image` (encoded
                bytes or None), `description` (words about the image, or a laboratory report, may be
                empty), `sex` and `age`. Nothing else is read.

        Returns:
            (n, n_labels); the probabilities of a usable row sum to one. A row that cannot be
            judged is all NaN and leaves the other rows as they are.
        """

    def unusable_reasons(self, batch: Mapping[str, Sequence[Any]]) -> list[str]:
        """Return per row the reason why it cannot be judged.

        Args:
            batch: as for `score`; usually only the rows that `score` could not judge.

        Returns:
            Short names such as `image_unreadable`; "" for a row that can be judged.
        """


def batch_of(cases: pa.Table) -> dict[str, list[Any]]:
    """Return the `SEEN_COLUMNS` of a table of cases as lists, the input of `Teacher.score`."""
    return {name: cases[name].to_pylist() for name in SEEN_COLUMNS}


def floor_of(teacher: Teacher) -> float:
    """Return the score of labels that a teacher does not answer for; −∞ if it answers for all."""
    return float(getattr(teacher, "floor", ALL_ANSWERED))


def score_cases(teacher: Teacher, batch: Mapping[str, Sequence[Any]]) -> NDArray[np.float32]:
    """Return `Teacher.score` of a batch, after a check of its shape.

    Raises:
        TeacherError: the scores have another shape than cases by labels.
    """
    scores = np.asarray(teacher.score(batch), dtype=np.float32)
    expected = (len(batch["case_id"]), len(teacher.labels))
    if scores.shape != expected:
        raise TeacherError(
            f"teacher {teacher.revision}: expected scores of the shape {expected} (cases, labels), "
            f"found {scores.shape}; correct its method `score`"
        )
    return scores


def check_labels(teacher: Teacher, labels: Sequence[str]) -> None:
    """Raise TeacherError unless a teacher scores these labels in this order."""
    if tuple(teacher.labels) != tuple(labels):
        raise TeacherError(
            f"teacher {teacher.revision}: expected the {len(labels)} labels of the catalogue in "
            f"its order, found {len(teacher.labels)} labels or another order; fit it again"
        )


Loader = Callable[[Path, Mapping[str, Any]], Teacher]
"""(folder of a fitted teacher, its manifest) to the teacher."""
Report = Callable[[dict[str, float]], None]
Fit = Callable[[Path, Config, Path, Report], dict[str, float]]
"""(folder of `cases.parquet` and `catalogue.parquet`, run, folder to write, report) to metrics."""

PLUGINS = "mint_ray.teachers"
"""Group of the entry points by which other packages add teachers."""


@dataclass(frozen=True)
class TeacherPlugin:
    """A teacher of another package, which names it by an entry point of the group `PLUGINS`.

    The name of the entry point is the value of `teacher.name`, and the name that `fit` gives to
    `write_manifest`. The names of the package's own teachers are taken.
    """

    tasks: tuple[str, ...]
    """`disease`, `tissue`, or both."""
    fit: Fit
    """Function that writes a folder with `write_manifest`. It runs in every process of a
    `torch.distributed` group, and reports once per epoch, with `step` and `loss`."""
    load: Loader
    """Function that loads the folder."""
    check: Callable[[Config], None] | None = None
    """Function that raises ConfigError for settings (`config.teacher.options`) that cannot work."""
    reports: Callable[[Config], int] | None = None
    """Function that returns the number of reports; one if there is no function."""
    recorded: bool = False
    """True if the teacher knows the scores of the run's cases only, by `case_id`."""


def plugin_names() -> tuple[str, ...]:
    """Return the names of the teachers of other packages, without loading them."""
    return tuple(sorted(entry_points(group=PLUGINS).names))


def find_plugin(name: str) -> TeacherPlugin | None:
    """Return the teacher that another package has under this name, or None.

    Raises:
        TeacherError: the package cannot be imported, or its entry point is no `TeacherPlugin`.
    """
    for entry in entry_points(group=PLUGINS, name=name):
        try:
            plugin = entry.load()
        except Exception as error:  # code of another package
            raise TeacherError(
                f"teacher {name}: {entry.value} cannot be imported ({type(error).__name__}: "
                f"{error}); repair or remove the package that registers it"
            ) from error
        if not isinstance(plugin, TeacherPlugin):
            raise TeacherError(
                f"teacher {name}: expected {entry.value} to be a TeacherPlugin, found "
                f"{type(plugin).__name__}; see the manual's page on teachers from outside"
            )
        return plugin
    return None


_LOADERS: dict[str, Loader] = {}
# Modules in which the package's own teachers register themselves. They are imported when a
# teacher of that name is loaded, since they need torch.
_MODULES = {
    "fusion": "mint_ray.teachers.fusion.teacher",
    "knowledge": "mint_ray.teachers.knowledge.teacher",
    "stacked": "mint_ray.teachers.stacked.teacher",
    "neighbours": "mint_ray.teachers.neighbours.teacher",
    "gestaltmml": "mint_ray.teachers.gestaltmml.teacher",
    "scores": "mint_ray.teachers.recorded.teacher",
    "endpoint": "mint_ray.teachers.recorded.teacher",
    "clip": "mint_ray.teachers.clip.teacher",
    "clip_fusion": "mint_ray.teachers.clip.teacher",
}


def register_teacher(name: str) -> Callable[[Loader], Loader]:
    """Decorate a function that loads a teacher from its folder and manifest.

    Raises:
        ValueError: another loader is registered under the name.
    """

    def register(loader: Loader) -> Loader:
        if _LOADERS.get(name, loader) is not loader:
            raise ValueError(
                f"expected a new teacher name, found {name!r}, which is registered already; "
                "choose another name"
            )
        _LOADERS[name] = loader
        return loader

    return register


def load_teacher(folder: Path) -> Teacher:
    """Load the fitted teacher of a folder with the loader that its manifest names.

    Raises:
        TeacherError: the folder has no teacher, the teacher is damaged, or its loader is not
            registered.
    """
    manifest = load_manifest(folder)
    name = manifest["name"]
    if name in _MODULES:
        importlib.import_module(_MODULES[name])
    plugin = None if name in _LOADERS else find_plugin(name)
    loader = plugin.load if plugin else _LOADERS.get(name)
    if loader is None:
        known = ", ".join(sorted({*_MODULES, *_LOADERS, *plugin_names()}))
        raise TeacherError(
            f"{folder}: expected a registered teacher ({known}), found {name!r}; install the "
            "package or import the module that registers it"
        )
    return loader(folder, manifest)


def load_manifest(folder: Path) -> dict[str, Any]:
    """Read `teacher.json`, which has at least `name` and `revision`.

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
        raise TeacherError(_damaged(path, "name or revision is missing"))
    return manifest


def write_manifest(
    folder: Path, name: str, files: Iterable[str], content: Mapping[str, Any]
) -> dict[str, Any]:
    """Write `teacher.json` and return what it holds.

    Args:
        folder: of the teacher; `files` are in it already.
        name: under which the loader is registered.
        files: names of the weights and tables that the teacher is made of.
        content: settings and facts that the loader needs; plain JSON.

    Returns:
        `name`, `files`, `content` and `revision`, the hash of `content` and of the files.
    """
    files = sorted(files)
    revision = _revision(folder, files, content)
    manifest = {"name": name, "revision": revision, "files": files, "content": dict(content)}
    write_text(folder / MANIFEST_FILE, json.dumps(manifest, indent=2) + "\n")
    return manifest


def check_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Check that the files are the ones that the manifest was written for.

    Raises:
        TeacherError: a file is absent, cut short or changed.
    """
    try:
        revision = _revision(folder, manifest["files"], manifest["content"])
    except (OSError, KeyError, TypeError) as error:
        raise TeacherError(_damaged(folder, type(error).__name__)) from error
    if revision != manifest["revision"]:
        raise TeacherError(_damaged(folder, f"revision {revision}, not {manifest['revision']}"))


def bad_rows(scores: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return (n,) whether a row of the (n, n_labels) scores could not be judged."""
    finite: NDArray[np.bool_] = np.all(np.isfinite(scores), axis=1)
    return ~finite


def _revision(folder: Path, files: Sequence[str], content: Mapping[str, Any]) -> str:
    contents = (bytes.fromhex(sha256(folder / name)) for name in files)
    return digest_of(json.dumps(content, sort_keys=True), *contents)[:12]


def _damaged(path: Path, defect: str) -> str:
    return f"{path}: expected a fitted teacher, found a damaged one ({defect}); fit it again"
