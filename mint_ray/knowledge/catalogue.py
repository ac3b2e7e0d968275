"""Label catalogue: every possible answer, in one namespace."""

import json
import logging
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.common.arrays import Ints
from mint_ray.common.digests import digest_of
from mint_ray.common.tables.rows import read_rows
from mint_ray.errors import DataError
from mint_ray.knowledge.annotations import Annotations
from mint_ray.knowledge.names import normalise
from mint_ray.knowledge.release import PACKAGED, Release

logger = logging.getLogger(__name__)

CATALOGUE_SCHEMA = pa.schema(
    [
        pa.field("label_id", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("ids", pa.list_(pa.string()), nullable=False),
        pa.field("synonyms", pa.list_(pa.string()), nullable=False),
        pa.field("genes", pa.list_(pa.string()), nullable=False),
    ]
)

_RELEASE = b"mint_ray.release"  # key of the file's metadata


@dataclass(frozen=True)
class Label:
    """One possible answer.

    Attributes:
        label_id: id in the catalogue's namespace.
        name: display name; unique in the catalogue, one line, without straight single quotes,
            so that it can be read back from a list line `1. 'Name'`.
        ids: `label_id`, then the ids of other namespaces that count as the same answer.
        synonyms: other names; their normalised spellings differ from that of `name`.
        genes: gene symbols.
    """

    label_id: str
    name: str
    ids: tuple[str, ...]
    synonyms: tuple[str, ...]
    genes: tuple[str, ...]


class Catalogue:
    """Labels in the order of their ids; a label's position is its index everywhere.

    Attributes:
        release: of the knowledge that the labels are from. It travels with the catalogue, also
            into the folders of teachers and students.
    """

    def __init__(self, labels: Iterable[Label], release: Release = PACKAGED) -> None:
        self.release = release
        self.labels: tuple[Label, ...] = tuple(sorted(labels, key=lambda label: label.label_id))
        self.ids: tuple[str, ...] = tuple(label.label_id for label in self.labels)
        self.names: tuple[str, ...] = tuple(label.name for label in self.labels)
        self._index = {any_id: i for i, label in enumerate(self.labels) for any_id in label.ids}

    def __len__(self) -> int:
        return len(self.labels)

    def label(self, index: int) -> Label:
        """Return the label at an index."""
        return self.labels[index]

    def index_of(self, any_id: str) -> int | None:
        """Return the index of the label that has this id among its ids, or None."""
        return self._index.get(any_id)

    def indices_of(self, any_ids: Iterable[str | None]) -> Ints:
        """Return the index of each id's label, −1 where there is none; as `index_of`."""
        found = (self._index.get(any_id or "", -1) for any_id in any_ids)
        return np.fromiter(found, dtype=np.int64)

    def revision(self) -> str:
        """Return a hash of the content, 12 hexadecimal digits."""
        content = json.dumps([asdict(label) for label in self.labels], ensure_ascii=True)
        return digest_of(content)[:12]

    def write(self, path: Path) -> None:
        """Write one parquet file, from which `read` returns an equal catalogue."""
        table = pa.Table.from_pylist([asdict(label) for label in self.labels], CATALOGUE_SCHEMA)
        if self.release != PACKAGED:
            content = json.dumps(asdict(self.release))
            table = table.replace_schema_metadata({_RELEASE: content})
        pq.write_table(table, path)

    @classmethod
    def read(cls, path: Path) -> "Catalogue":
        """Read a file of `write`.

        Raises:
            DataError: the file is absent, damaged or not a catalogue.
        """
        try:
            table = pq.read_table(path, schema=CATALOGUE_SCHEMA)
            content = (pq.read_schema(path).metadata or {}).get(_RELEASE)
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"{path}: expected a catalogue (parquet with the columns "
                f"{', '.join(CATALOGUE_SCHEMA.names)}), found a file that cannot be read as one "
                f"({type(error).__name__}); build the cases again"
            ) from error
        release = PACKAGED if content is None else Release(**json.loads(content))
        return cls((_from_row(row) for row in table.to_pylist()), release)


def build_catalogue(
    annotations: Annotations,
    case_labels: Mapping[str, str],
    namespace: str,
    scope: Literal["all", "cases"],
    release: Release = PACKAGED,
) -> Catalogue:
    """Build the catalogue of one namespace.

    Args:
        annotations: names, other names and genes of the annotated diseases.
        case_labels: label id -> name of the training cases.
        namespace: id prefix, such as "OMIM".
        scope: `all` takes every annotated disease and every case label, `cases` only case labels.
        release: of the annotations.

    A disease or case label of another namespace becomes a further id of the label with the same
    normalised name. It is left out if there is no such label, or several. The name is that of the
    annotation file if it has one, else that of the case; the other name becomes a synonym.

    Raises:
        DataError: the namespace holds no label.
    """
    prefix = f"{namespace}:"
    known = dict(case_labels) | annotations.diseases
    wanted = case_labels if scope == "cases" else known
    label_ids = sorted(label_id for label_id in wanted if label_id.startswith(prefix))
    if not label_ids:
        namespaces = Counter(any_id.partition(":")[0] for any_id in wanted)
        raise DataError(
            f"catalogue.namespace {namespace}: expected labels with ids {prefix}..., found none "
            f"among {dict(namespaces)}; choose one of these namespaces"
        )
    foreign = _merged_ids({i: known[i] for i in label_ids}, known, prefix)
    drafts = [
        _draft([label_id, *foreign[label_id]], annotations, case_labels) for label_id in label_ids
    ]
    unmatched = len(case_labels.keys() - {any_id for draft in drafts for any_id in draft.ids})
    if unmatched:
        logger.warning(
            "%d of %d case labels have no entry in namespace %s",
            unmatched,
            len(case_labels),
            namespace,
        )
    return Catalogue(_with_unique_names(drafts), release)


def catalogue_of(labels: Mapping[str, str]) -> Catalogue:
    """Build a catalogue of answers without annotations, such as tissues, from id -> name."""
    empty = Annotations({}, {}, {}, {})
    return Catalogue(_with_unique_names([_draft([i], empty, labels) for i in sorted(labels)]))


def read_answers(path: Path, release: Release = PACKAGED) -> Catalogue:
    """Read a catalogue of a user's own answers.

    Args:
        path: table with the columns `id` and `name`, and, if present, `synonyms`, which | or ;
            separate. Ids stay as they are.
        release: of the findings that are read in texts.

    Raises:
        DataError: the file cannot be read, has no row, or a row has no id, no name or an id that is
            there already.
    """
    table = read_rows(path, "answers", required=("id", "name"))
    drafts: dict[str, Label] = {}
    for number, row in enumerate(table.rows, start=1):
        label_id, name = row.get("id", ""), tidy_name(row.get("name", ""))
        if not label_id or not name or label_id in drafts:
            raise DataError(
                f"{path}, row {number}: expected an id that no other row has, and a name, found "
                f"id={label_id!r} and name={name!r}; correct or remove the row"
            )
        others = map(tidy_name, re.split(r"[|;]", row.get("synonyms", "")))
        _, *synonyms = _distinct((name, *others))
        drafts[label_id] = Label(label_id, name, (label_id,), tuple(synonyms), ())
    if not drafts or table.bad:
        raise DataError(
            f"{path}: expected rows with id and name, and as many fields as the header in each, "
            f"found {len(drafts)} rows and {table.bad} other lines; correct the table"
        )
    return Catalogue(_with_unique_names(list(drafts.values())), release)


def tidy_name(text: str) -> str:
    """Reduce a name to one line of visible characters, without straight single quotes.

    An apostrophe becomes ’ and a doubled one a double quote.
    """
    visible = text
    if not text.isprintable():  # a character is invisible, or a space other than the usual one
        kinds = ((c, unicodedata.category(c)) for c in text)
        visible = "".join(" " if kind[0] in "CZ" else c for c, kind in kinds if kind != "Cf")
    return " ".join(visible.replace("''", '"').replace("'", "’").split())


def _from_row(row: Mapping[str, Any]) -> Label:
    lists = {key: tuple(row[key]) for key in ("ids", "synonyms", "genes")}
    return Label(label_id=row["label_id"], name=row["name"], **lists)


def _merged_ids(
    names: Mapping[str, str], known: Mapping[str, str], prefix: str
) -> dict[str, list[str]]:
    """Return each label id of `names` -> ids of other namespaces with its name, sorted."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for label_id, name in names.items():
        by_name[normalise(name)].append(label_id)
    merged: dict[str, list[str]] = {label_id: [] for label_id in names}
    for other, name in sorted(known.items()):
        same = by_name.get(normalise(name), []) if not other.startswith(prefix) else []
        if len(same) == 1:
            merged[same[0]].append(other)
    return merged


def _draft(ids: Sequence[str], annotations: Annotations, case_labels: Mapping[str, str]) -> Label:
    """Draft the label of these ids; another label may still have the same name."""
    spellings: list[str] = []
    for any_id in ids:
        in_file = [annotations.diseases.get(any_id, ""), *annotations.other_names.get(any_id, ())]
        spellings += [*in_file, case_labels.get(any_id, "")]
    # OMIM titles join the name and its alternatives by semicolons.
    names = [tidy_name(part) for spelling in spellings for part in spelling.split(";")]
    name, *synonyms = _distinct(names) or [ids[0]]
    genes = {symbol for any_id in ids for symbol in annotations.genes.get(any_id, ())}
    return Label(ids[0], name, tuple(ids), tuple(synonyms), tuple(sorted(genes)))


def _with_unique_names(drafts: Sequence[Label]) -> list[Label]:
    """Append ids to names that normalise alike; the plain name becomes a synonym."""
    uses = Counter(normalise(draft.name) for draft in drafts)
    return [
        draft
        if uses[normalise(draft.name)] == 1
        else Label(
            draft.label_id,
            f"{draft.name} ({draft.label_id})",
            draft.ids,
            (draft.name, *draft.synonyms),
            draft.genes,
        )
        for draft in drafts
    ]


def _distinct(names: Iterable[str]) -> list[str]:
    """Return the first name of each normalised spelling that is not empty."""
    by_spelling: dict[str, str] = {}
    for name in names:
        by_spelling.setdefault(normalise(name), name)
    return [name for key, name in by_spelling.items() if key]
