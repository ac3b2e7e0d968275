"""Case tables of the tested cases, unchanged and under perturbations of their images.

Every perturbed case is a row with its own id, so that a system is loaded once and ranks all of
them.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.common.seeds import stable_seed
from mint_ray.evaluation.systems import Perturbation
from mint_ray.images.stain import shift_encoded

_MARK = "\x1f_"  # begins with the unit separator, which case ids do not contain
_ROWS = 64  # copied at once


def key_of(case_id: str, perturbation: Perturbation | None) -> str:
    """Return the id of the row that holds a case under a perturbation."""
    return f"{case_id}{_MARK}{perturbation}" if perturbation else case_id


def select_perturbation(
    table: pa.Table, perturbation: Perturbation | None, case_ids: Iterable[str]
) -> pa.Table:
    """Return the rows of some cases under one perturbation, with the cases' own ids.

    Args:
        table: any columns, with keys of `key_of` in `case_id`.
        perturbation: None for the unchanged cases.
        case_ids: of the cases.
    """
    case_of_key = {key_of(case_id, perturbation): case_id for case_id in case_ids}
    rows = table.filter(pc.is_in(table["case_id"], pa.array(case_of_key, pa.string())))
    row_ids = pa.array([case_of_key[key] for key in rows["case_id"].to_pylist()], pa.string())
    column = rows.column_names.index("case_id")
    return rows.set_column(column, rows.schema.field(column), row_ids)


def shift_stains(cases: pa.Table, seed: int | None) -> pa.Table:
    """Return the cases with shifted images in the rows of `Perturbation.STAIN`.

    Cases of one group get the same shift.

    Args:
        cases: rows with keys of `key_of` in `case_id`.
        seed: of the shifts; may be None if there are no such rows.

    Raises:
        ValueError: there are such rows, and `seed` is None.
    """
    is_shifted = [key.endswith(_MARK + Perturbation.STAIN) for key in cases["case_id"].to_pylist()]
    if not any(is_shifted):
        return cases
    if seed is None:
        raise ValueError("expected a seed for the stain shift, found None")
    images = cases["image"].to_pylist()
    for row, group in enumerate(cases["group_id"].to_pylist()):
        if is_shifted[row]:
            rng = np.random.default_rng(stable_seed(seed, "stain", group))
            images[row] = shift_encoded(images[row], rng)
    column = cases.column_names.index("image")
    return cases.set_column(column, "image", pa.array(images, pa.binary()))


def write_perturbed_cases(
    source: Path,
    target: Path,
    tested: Sequence[str],
    donors: Mapping[str, str],
    columns: Sequence[str],
) -> None:
    """Write every tested case unchanged and under each perturbation.

    The rows of `Perturbation.STAIN` hold the unshifted image; readers must call `shift_stains`.
    Images are copied through a memory-mapped file beside the target, so that only a few of them
    are in memory at a time.

    Args:
        source: the case table.
        target: parquet file to write.
        tested: ids of the cases.
        donors: case id to the case whose image it gets for `Perturbation.SHUFFLED`. If empty,
            there are no shuffled rows.
        columns: to keep of each case, `image` among them.
    """
    scratch = target.with_suffix(".arrow")
    image_rows = _spool_images(source, scratch, frozenset(tested))
    cases = pq.read_table(source, columns=[name for name in columns if name != "image"])
    cases = cases.filter(pc.is_in(cases["case_id"], pa.array(tested, pa.string())))
    cases = cases.sort_by("case_id")
    schema = cases.schema.append(pa.field("image", pa.binary()))
    shuffled = (Perturbation.SHUFFLED,) if donors else ()
    with pa.memory_map(str(scratch)) as file, pq.ParquetWriter(target, schema) as writer:
        batches = pa.ipc.open_file(file)

        def image_of(case_id: str) -> bytes | None:
            batch, row = image_rows[case_id]
            image: bytes | None = batches.get_batch(batch).column(0)[row].as_py()
            return image

        for start in range(0, cases.num_rows, _ROWS):
            part = cases.slice(start, _ROWS)
            ids = part["case_id"].to_pylist()
            for perturbation in (None, Perturbation.STAIN, *shuffled):
                is_shuffled = perturbation is Perturbation.SHUFFLED
                shown = [donors[case_id] for case_id in ids] if is_shuffled else ids
                keys = pa.array([key_of(case_id, perturbation) for case_id in ids], pa.string())
                keyed = part.set_column(part.column_names.index("case_id"), "case_id", keys)
                images = pa.array([image_of(case_id) for case_id in shown], pa.binary())
                writer.write_table(keyed.append_column("image", images).cast(schema))
    scratch.unlink()


def _spool_images(
    source: Path, scratch: Path, wanted: frozenset[str]
) -> dict[str, tuple[int, int]]:
    """Write the images of the wanted cases as an Arrow file; return (batch, row) by case id."""
    # Shuffled cases read images in random order. From parquet, each read would decode a whole row
    # group. The Arrow format can be mapped into memory, and an image read alone.
    image_rows: dict[str, tuple[int, int]] = {}
    schema = pa.schema([pa.field("image", pa.binary())])
    ids = pa.array(sorted(wanted), pa.string())
    with pa.ipc.new_file(str(scratch), schema) as writer:
        count = 0
        for batch in pq.ParquetFile(source).iter_batches(_ROWS, columns=["case_id", "image"]):
            matching = batch.filter(pc.is_in(batch["case_id"], ids))
            if matching.num_rows:
                writer.write_batch(pa.record_batch([matching["image"]], schema=schema))
                numbered = enumerate(matching["case_id"].to_pylist())
                image_rows |= {case_id: (count, row) for row, case_id in numbered}
                count += 1
    return image_rows
