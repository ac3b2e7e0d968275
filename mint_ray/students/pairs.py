"""Preference pairs on disk, ready for training.

The parquet files are copied once, batch by batch, into an uncompressed Arrow file that is
memory-mapped: rows are read at random without all of them being in memory. The file is
removed from the folder at once and vanishes with the process.
"""

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pyarrow.types as pt

from mint_ray.cases.schema import REJECTED_SCHEMA
from mint_ray.errors import DataError
from mint_ray.students.encoding import EncodedPair, Encoder, Rejected

_MESSAGES = ("prompt", "chosen", "rejected")
_OPTIONAL = ("preference_id", "case_id", "group_id", "split")


@dataclass(frozen=True)
class Usable:
    """Which rows can be trained on, and why the others cannot.

    `rows` are row numbers of the table in the order of their preference ids, so that it does
    not matter how the rows were spread over files. `rejected` maps a row number to its reason.
    `digest` is a hash of the ids and tokens of the rows.
    """

    rows: tuple[int, ...]
    rejected: Mapping[int, str]
    shortened: int
    digest: str

    @property
    def counts(self) -> dict[str, int]:
        """Rejected rows by reason."""
        return dict(Counter(self.rejected.values()))


class PairTable:
    """Random access to the training rows of a preference dataset.

    Args:
        path: a parquet file, or a folder of them. Needs the conversational columns `prompt`,
            `chosen` and `rejected`; `preference_id`, `case_id`, `group_id` and `split` are
            used where they are there, as they are in our own files.

    Raises:
        DataError: nothing readable, a column missing or of another type, no training row,
            or a group in the training split and in another one.
    """

    def __init__(self, path: Path) -> None:
        try:
            source = _open(path)
            names = [name for name in (*_OPTIONAL, *_MESSAGES) if name in source.schema.names]
            _refuse_shared_groups(source, names)
            self._table = _map_rows(source, names)
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(
                f"{path}: expected preference pairs as a parquet file or a folder of them, found "
                f"nothing that can be read ({type(error).__name__}); run `mint prefer` again"
            ) from error
        if self._table.num_rows == 0:
            raise DataError(f"{path}: expected preference pairs of split `train`, found none")

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def row(self, number: int) -> dict[str, Any]:
        """One row as plain Python values; rows without an id are named by their number."""
        values: dict[str, Any] = self._table.slice(number, 1).to_pylist()[0]
        if values.get("preference_id") is None:
            values["preference_id"] = f"row-{number}"
        return values

    def encode(self, number: int, encoder: Encoder) -> EncodedPair:
        """Encode one row; see `Encoder.pair` for what it raises."""
        return encoder.pair(self.row(number))

    def scan(self, encoder: Encoder) -> Usable:
        """Encode every row once, keeping no tokens, to see which can be used."""
        rows: dict[str, tuple[int, str]] = {}
        rejected: dict[int, str] = {}
        shortened = 0
        for number in range(len(self)):
            try:
                pair = self.encode(number, encoder)
                if pair.preference_id in rows:
                    raise Rejected("duplicate_id")
            except Rejected as error:
                rejected[number] = error.reason
                continue
            content = hashlib.sha256(repr(pair).encode()).hexdigest()
            rows[pair.preference_id] = (number, content)
            shortened += pair.shortened
        ordered = [rows[name] for name in sorted(rows)]
        digest = hashlib.sha256("".join(content for _, content in ordered).encode()).hexdigest()
        return Usable(tuple(number for number, _ in ordered), rejected, shortened, digest)

    def write_rejected(self, rejected: Mapping[int, str], path: Path) -> None:
        """Write one row per rejected pair: its case, its preference id as source, the reason."""
        rows = []
        for number, reason in sorted(rejected.items()):
            row = self.row(number)
            name = row["preference_id"]
            rows.append({"case_id": row.get("case_id") or name, "source": name, "reason": reason})
        pq.write_table(pa.Table.from_pylist(rows, schema=REJECTED_SCHEMA), path)


def _open(path: Path) -> ds.Dataset:
    source = ds.dataset(str(path), format="parquet")
    for name in _MESSAGES:
        if name not in source.schema.names:
            found = ", ".join(source.schema.names) or "no columns"
            raise DataError(f"{path}: expected a column `{name}`, found {found}")
        kind = source.schema.field(name).type
        if not pt.is_list(kind) and not pt.is_large_list(kind):
            raise DataError(
                f"{path}: expected `{name}` to be a list of role and content, found {kind}"
            )
    return source


def _refuse_shared_groups(source: ds.Dataset, names: list[str]) -> None:
    if "group_id" not in names or "split" not in names:
        return
    groups = source.to_table(columns=["group_id", "split"])
    is_train = pc.equal(groups["split"], "train")
    train = set(groups.filter(is_train)["group_id"].to_pylist())
    other = set(groups.filter(pc.invert(is_train))["group_id"].to_pylist())
    shared = train & other - {None}
    if shared:
        raise DataError(
            f"{len(shared)} groups are in the training split and in another one, for example "
            f"{min(shared)}; split the cases by group_id",
            {"shared_groups": len(shared)},
        )


def _map_rows(source: ds.Dataset, names: list[str]) -> pa.Table:
    keep = ds.field("split") == "train" if "split" in names else None
    handle, name = tempfile.mkstemp(suffix=".arrow", prefix="mint-pairs-")
    try:
        with os.fdopen(handle, "wb") as file:
            schema = pa.schema([source.schema.field(column) for column in names])
            with pa.ipc.new_file(file, schema) as writer:
                for batch in source.to_batches(columns=names, filter=keep):
                    if batch.num_rows:
                        writer.write_batch(batch)
        return pa.ipc.open_file(pa.memory_map(name)).read_all()
    finally:
        os.unlink(name)
