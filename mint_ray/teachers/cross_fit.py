"""Cross-fitted teachers: every training case is ranked by a teacher that never saw its group.

A teacher that has learned a case's answer ranks the case better than it will rank any new one, and
a student cannot learn from that what the teacher knows. The training groups are therefore dealt
into parts, and a further teacher is fitted without each part. It does not know the annotations
either that rest only on publications of the part.

The folder of a teacher then holds `folds.parquet` (group and part) and one teacher per part in
`folds/0`, `folds/1`, ...
"""

import shutil
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.cases.schema import MADE_SOURCES
from mint_ray.common.parquet import IMAGE_ROWS
from mint_ray.errors import TeacherError
from mint_ray.teachers.base import load_manifest

FOLDS_FILE = "folds.parquet"
FOLDS_FOLDER = "folds"
FOLDS_SCHEMA = pa.schema(
    [
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("fold", pa.int32(), nullable=False),
    ]
)

Group = TypeVar("Group", bound=Hashable)


@dataclass(frozen=True)
class Folds:
    """Parts of the training groups.

    Attributes:
        fold_of: part of each training group.
        revisions: revision of each part's teacher.
    """

    fold_of: Mapping[str, int]
    revisions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.revisions)

    def of_cases(self, groups: Sequence[str], splits: Sequence[str | None]) -> list[int | None]:
        """Return per case the part whose teacher ranks it; None for the teacher of all groups.

        Raises:
            TeacherError: a training case is of a group that is in no part.
        """
        if not self.revisions:
            return [None] * len(groups)
        missing = {
            group
            for group, split in zip(groups, splits, strict=True)
            if split == "train" and group not in self.fold_of
        }
        if missing:
            raise TeacherError(
                f"expected every training group in {FOLDS_FILE}, found {len(missing)} that are "
                "not; the teacher was fitted to other cases: run the stage teach with --force"
            )
        return [
            self.fold_of[group] if split == "train" else None
            for group, split in zip(groups, splits, strict=True)
        ]


def deal_groups(groups: Sequence[Group], parts: int, seed: int) -> dict[Group, int]:
    """Return the part of each group; the groups are dealt in random order, in turn.

    Args:
        groups: may repeat; groups of one kind can be sorted.
        parts: number of parts.
        seed: of the order, which does not depend on the order given.
    """
    ordered = sorted(set(groups))  # type: ignore[type-var]  # sortable, as stated above
    places = np.random.default_rng([seed, 3]).permutation(len(ordered)).tolist()
    return {group: place % parts for group, place in zip(ordered, places, strict=True)}


def fold_folder(teacher: Path, fold: int) -> Path:
    """Return the folder of the teacher that was fitted without a part."""
    return teacher / FOLDS_FOLDER / str(fold)


def plan_folds(cases: Path, parts: int, seed: int) -> dict[str, int]:
    """Deal the training groups of a case table into parts, no more than there are groups.

    Args:
        cases: `cases.parquet`.
        parts: number of parts; 0 for none.
        seed: of the order in which groups are dealt.

    Returns:
        Part of each group; empty with a single group, as nothing would be left to fit on.
    """
    if not parts:
        return {}
    train = pc.field("split") == "train"
    groups = pq.read_table(cases, columns=["group_id"], filters=train)["group_id"].unique()
    return deal_groups(groups.to_pylist(), parts, seed) if len(groups) > 1 else {}


def write_fold_cases(source: Path, left_out: frozenset[str], out: Path) -> None:
    """Write the input of a fit without some groups.

    The catalogue stays the same. The publications of the cases that are left out join the excluded
    ones, so that annotations known only from them are not used. Cases that were made from others
    are left out too: they say nothing that their originals do not say.

    Args:
        source: folder of the stage `cases`.
        left_out: ids of groups.
        out: folder to write; made anew.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    shutil.copy(source / "catalogue.parquet", out)
    publications: set[str] = set()
    table = pq.ParquetFile(source / "cases.parquet")
    groups = pa.array(sorted(left_out), pa.string())
    with pq.ParquetWriter(out / "cases.parquet", table.schema_arrow) as writer:
        for batch in table.iter_batches(IMAGE_ROWS):
            part = pa.Table.from_batches([batch])
            used = pc.fill_null(pc.is_in(part["split"], pa.array(["train", "validation"])), False)
            hidden = pc.and_(used, pc.is_in(part["group_id"], groups))
            for ids in part.filter(hidden)["publications"].to_pylist():
                publications.update(ids or ())
            made = pc.is_in(part["source"], pa.array(MADE_SOURCES))
            used = pc.and_(used, pc.invert(made))
            writer.write_table(part.filter(pc.and_(used, pc.invert(hidden))))
    known = (source / "excluded_publications.txt").read_text(encoding="utf-8").splitlines()
    lines = "".join(f"{line}\n" for line in sorted({*known, *publications}))
    (out / "excluded_publications.txt").write_text(lines, encoding="utf-8")


def write_folds(teacher: Path, fold_of: Mapping[str, int]) -> Folds:
    """Write `folds.parquet` beside the fitted teachers of all parts, and return what it says."""
    n_folds = len(set(fold_of.values()))
    names = [load_manifest(fold_folder(teacher, fold)) for fold in range(n_folds)]
    revisions = tuple(manifest["revision"] for manifest in names)
    rows = [{"group_id": group, "fold": fold} for group, fold in sorted(fold_of.items())]
    schema = FOLDS_SCHEMA.with_metadata({"revisions": ",".join(revisions)})
    pq.write_table(pa.Table.from_pylist(rows, schema), teacher / FOLDS_FILE)
    return Folds(dict(fold_of), revisions)


def read_folds(teacher: Path) -> Folds:
    """Read the parts of a teacher's folder; without `folds.parquet` there are none.

    Raises:
        TeacherError: a part's teacher is missing, or is not the one that was written.
    """
    if not (teacher / FOLDS_FILE).exists():
        return Folds({}, ())
    table = pq.read_table(teacher / FOLDS_FILE)
    revisions = tuple((table.schema.metadata or {})[b"revisions"].decode().split(","))
    for fold, revision in enumerate(revisions):
        found = load_manifest(fold_folder(teacher, fold))["revision"]
        if found != revision:
            raise TeacherError(
                f"{fold_folder(teacher, fold)}: expected the teacher of revision {revision}, found "
                f"{found}; run the stage teach with --force"
            )
    groups, folds = table["group_id"].to_pylist(), table["fold"].to_pylist()
    return Folds(dict(zip(groups, folds, strict=True)), revisions)
