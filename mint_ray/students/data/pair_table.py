"""Preference pairs on disk, ready for training.

The parquet files are copied once, batch by batch, into an uncompressed Arrow file that is
memory-mapped, so that rows can be read at random while most of them are not in memory. The file is
unlinked at once, so it disappears with the process.
"""

import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pyarrow.types as pt

from mint_ray.cases.schema import REJECTED_SCHEMA, SPLITS
from mint_ray.common.digests import digest_of
from mint_ray.errors import DataError
from mint_ray.students.data import permuted
from mint_ray.students.data.rows import RowEncoder
from mint_ray.students.encoding.text import UnusableRow
from mint_ray.students.logprobs.examples import CompletionKind, Example, merge

_PROMPT = "prompt"
_MESSAGES = (_PROMPT, "chosen", "rejected")
_ANSWERS = ("chosen", "rejected", "candidates")
_OPTIONAL = ("preference_id", "case_id", "group_id", "split")
_TRAIN = "train"
_LABELS = {"answer": ("label_id",), "candidates": ("label_id", "candidates")}


@dataclass(frozen=True)
class UsableRows:
    """Rows that can be trained on, and the reasons why others cannot.

    `examples` are the row numbers of each example, in the order of their preference ids, so that
    the distribution of rows over files does not matter. `lengths` are the examples' tokens.
    `rejected` maps a row number to its reason, `shortened` counts rows with a cut note, and
    `digest` is a hash of the ids and tokens of all usable rows.
    """

    examples: tuple[tuple[int, ...], ...]
    lengths: tuple[int, ...]
    rejected: Mapping[int, str]
    shortened: int
    digest: str

    @property
    def rows(self) -> int:
        """Number of rows that can be used."""
        return sum(map(len, self.examples))

    @property
    def counts(self) -> dict[str, int]:
        """Number of rejected rows by reason."""
        return dict(Counter(self.rejected.values()))


class PairTable:
    """Random access to the training rows of a preference dataset.

    Args:
        path: a parquet file, or a folder of them. The conversational columns `chosen` and
            `rejected` are needed, and `prompt` unless both begin with it; see `read_conversation`.
            `images`, `preference_id`, `case_id`, `group_id` and `split` are used where they exist,
            as in the files of `mint prefer`.
        compares: kind of completions that an example is made of. `answer` needs the column
            `label_id`, `candidates` the columns `label_id` and `candidates` as well.
        permuted_by: seed to give each row the answers and candidates of another case of the same
            known answer; see `permuted.answer_rows`, whose columns are then needed.
        candidates: label ids by case, which take the place of the column `candidates`; a case that
            is not among them has none.

    Raises:
        DataError: the path cannot be read, a column is missing or of another type, there is no
            training row, or a group is in the training split and in another one.
    """

    def __init__(
        self,
        path: Path,
        compares: CompletionKind = "pairs",
        permuted_by: int | None = None,
        candidates: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        labels = (
            *_LABELS.get(compares, ()),
            *(permuted.COLUMNS if permuted_by is not None else ()),
        )
        try:
            source = _open(path, labels)
            columns = dict.fromkeys((*_OPTIONAL, *_MESSAGES, "images", *labels))
            names = [name for name in columns if name in source.schema.names]
            _refuse_shared_groups(source, names)
            self._table = _map_rows(source, names)
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(
                f"{path}: expected preference pairs as a parquet file or a folder of them, found "
                f"nothing that can be read ({type(error).__name__}); run `mint prefer` again"
            ) from error
        if self._table.num_rows == 0:
            raise DataError(
                f"{path}: expected preference pairs of split `train`, found none; run "
                "`mint prefer` on cases of that split"
            )
        self._candidates = candidates
        self._answers = (
            None if permuted_by is None else permuted.answer_rows(self._table, permuted_by)
        )

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def row(self, number: int) -> dict[str, Any]:
        """Read one row as plain Python values; a row without an id is named by its number."""
        values = self._row(number, self._table.schema.names)
        if self._answers is not None:
            answers = [name for name in _ANSWERS if name in values]
            values |= self._values(int(self._answers[number]), answers)
        if self._candidates is not None:
            values["candidates"] = self._candidates.get(values.get("case_id") or "", ())
        return values

    def preference_id(self, number: int) -> str:
        """Return the id of one row; a row without one is named by its number."""
        columns = [name for name in ("preference_id",) if name in self._table.schema.names]
        return str(self._row(number, columns)["preference_id"])

    def _row(self, number: int, columns: Sequence[str]) -> dict[str, Any]:
        values = self._values(number, columns)
        if values.get("preference_id") is None:
            values["preference_id"] = f"row-{number}"
        return values

    def _values(self, number: int, columns: Sequence[str]) -> dict[str, Any]:
        values: dict[str, Any] = self._table.select(columns).slice(number, 1).to_pylist()[0]
        return values

    def example(self, rows: Sequence[int], maker: RowEncoder, number: int = 0) -> Example:
        """Encode the rows of one example of `scan`; see `RowEncoder.encode_row` for the errors."""
        return merge([maker.encode_row(self.row(row)) for row in rows], number)

    def scan(self, maker: RowEncoder) -> UsableRows:
        """Encode every row once to find the usable rows and group them into examples.

        Tokens are not kept: `example` encodes again.
        """
        rejected: dict[int, str] = {}
        ids: set[str] = set()
        groups: dict[tuple[str, str], list[_ScannedRow]] = defaultdict(list)
        shortened = 0
        for number in range(len(self)):
            try:
                row = self.row(number)
                if row.get("split", _TRAIN) != _TRAIN:
                    raise UnusableRow("unknown_split")
                part = maker.encode_row(row)
                if part.preference_ids[0] in ids:
                    raise UnusableRow("duplicate_id")
            except UnicodeDecodeError:  # text that parquet does not check
                rejected[number] = "bad_messages"
                continue
            except UnusableRow as error:
                rejected[number] = error.reason
                continue
            ids.add(part.preference_ids[0])
            shortened += part.shortened
            prompt = digest_of(
                repr((part.prompt, part.vision_inputs and part.vision_inputs.digest))
            )
            group = (row.get("case_id") or f"row-{number}", prompt)
            scanned = _ScannedRow(part.preference_ids[0], number, len(part), _content_digest(part))
            groups[group].append(scanned)
        ordered = sorted(sorted(group) for group in groups.values())
        examples = tuple(tuple(scanned.row for scanned in group) for group in ordered)
        lengths = tuple(
            group[0].length if len(group) == 1 else len(self.example(rows, maker))
            for group, rows in zip(ordered, examples, strict=True)
        )
        digest = digest_of(repr([scanned.content for group in ordered for scanned in group]))
        return UsableRows(examples, lengths, rejected, shortened, digest)

    def write_rejected(self, rejected: Mapping[int, str], path: Path) -> None:
        """Write a row per rejected pair: its case, its preference id as source, the reason."""
        rows = []
        columns = [column for column in _OPTIONAL if column in self._table.schema.names]
        for number, reason in sorted(rejected.items()):
            row = self._row(number, columns)
            name = row["preference_id"]
            rows.append({"case_id": row.get("case_id") or name, "source": name, "reason": reason})
        pq.write_table(pa.Table.from_pylist(rows, schema=REJECTED_SCHEMA), path)


class _ScannedRow(NamedTuple):
    """A usable row; rows sort by their preference id."""

    preference_id: str
    row: int
    length: int
    content: str


def _content_digest(example: Example) -> str:
    """Hash an example's values; names of fields do not count, so that they can change."""
    images = example.vision_inputs
    values = (
        example.preference_ids,
        example.prompt,
        example.completions,
        example.preference_pairs,
        example.nll_completions,
        example.gold,
        images and (images.image_positions, images.digest),
    )
    return digest_of(repr(values))


def _open(path: Path, labels: Sequence[str]) -> ds.Dataset:
    source = ds.dataset(str(path), format="parquet")
    for name in labels:
        if name not in source.schema.names:
            raise DataError(
                f"{path}: expected the column `{name}` (ids of the catalogue), which this "
                f"objective needs, found {', '.join(source.schema.names)}; run `mint prefer` again"
            )
    for name in _MESSAGES:
        if name not in source.schema.names:
            if name == _PROMPT:
                continue
            names = ", ".join(source.schema.names) or "no columns"
            raise DataError(f"{path}: expected a column `{name}`, found {names}; add the column")
        kind = source.schema.field(name).type
        if name == _PROMPT and (pt.is_string(kind) or pt.is_large_string(kind)):
            continue  # a user's turn, where the answers are lists
        if not pt.is_list(kind) and not pt.is_large_list(kind):
            raise DataError(
                f"{path}: expected `{name}` to be a list of role and content, found {kind}; store "
                "conversations as lists of messages"
            )
    return source


def _refuse_shared_groups(source: ds.Dataset, names: list[str]) -> None:
    if "group_id" not in names or "split" not in names:
        return
    groups = source.to_table(columns=["group_id", "split"])
    is_train = pc.fill_null(pc.equal(groups["split"], _TRAIN), False)
    train = set(groups.filter(is_train)["group_id"].to_pylist())
    other = set(groups.filter(pc.invert(is_train))["group_id"].to_pylist())
    shared = train & other - {None}
    if shared:
        raise DataError(
            f"expected every group in one split, found {len(shared)} groups in the training split "
            f"and in another one, for example {min(shared)}; split the cases by group_id",
            {"shared_groups": len(shared)},
        )


def _map_rows(source: ds.Dataset, names: list[str]) -> pa.Table:
    # Rows of an unknown split are kept here, so that `scan` counts them as rejected.
    others = ds.field("split").isin([split for split in SPLITS if split != _TRAIN])
    keep = others.is_null() | ~others if "split" in names else None
    handle, name = tempfile.mkstemp(suffix=".arrow", prefix="mint-pairs-")
    try:
        with os.fdopen(handle, "wb") as file:
            # Other trainers number their rows and cases; here an id is text.
            fields = [source.schema.field(column) for column in names]
            schema = pa.schema(
                field.with_type(pa.string()) if field.name in _OPTIONAL else field
                for field in fields
            )
            with pa.ipc.new_file(file, schema) as writer:
                for batch in source.to_batches(columns=names, filter=keep):
                    if batch.num_rows:
                        writer.write_batch(batch.cast(schema))
        return pa.ipc.open_file(pa.memory_map(name)).read_all()
    finally:
        os.unlink(name)
