"""Tested cases that are asked about more than once: as they are, and as the controls want them.

Each time is a row of its own, so that a system is loaded once whatever it is asked.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.common.seeds import stable_seed
from mint_ray.images.stain import shift_encoded

PLAIN, STAIN, SHUFFLED = "", "_stain", "_shuffled"
"""Ends of a system's name: nothing done, the stain shifted, the image of another case."""

_MARK = "\x1f"  # the unit separator, which stands in no case id
_ROWS = 64  # copied at once


def key_of(case_id: str, variation: str) -> str:
    """The id of a case that is asked about in this way."""
    return f"{case_id}{_MARK}{variation}" if variation else case_id


def of_variation(answered: pa.Table, variation: str, tested: Iterable[str]) -> pa.Table:
    """The rows of one way of asking, under the cases' own ids."""
    ids = {key_of(case_id, variation): case_id for case_id in tested}
    found = answered.filter(pc.is_in(answered["case_id"], pa.array(ids, pa.string())))
    own = pa.array([ids[key] for key in found["case_id"].to_pylist()], pa.string())
    place = found.column_names.index("case_id")
    return found.set_column(place, found.schema.field(place), own)


def shift_stains(asked: pa.Table, seed: int | None) -> pa.Table:
    """Rows of the variation `STAIN` get shifted images; those of one group are shifted alike."""
    shifted = [key.endswith(_MARK + STAIN) for key in asked["case_id"].to_pylist()]
    if not any(shifted):
        return asked
    if seed is None:
        raise ValueError("a stain shift needs a seed")
    images = asked["image"].to_pylist()
    for row, group in enumerate(asked["group_id"].to_pylist()):
        if shifted[row]:
            rng = np.random.default_rng(stable_seed(seed, "stain", group))
            images[row] = shift_encoded(images[row], rng)
    place = asked.column_names.index("image")
    return asked.set_column(place, "image", pa.array(images, pa.binary()))


def write_asked(
    source: Path,
    target: Path,
    tested: Sequence[str],
    donors: Mapping[str, str],
    columns: Sequence[str],
) -> None:
    """Write every tested case as often as it is asked about.

    Images are copied through a memory-mapped file beside the target, so that a few of them are in
    memory at a time.

    Args:
        tested: ids of the cases, each written as it is and for `STAIN`.
        donors: case id to the case whose image it gets for `SHUFFLED`; empty for none.
        columns: to keep of each case, `image` among them.
    """
    scratch = target.with_suffix(".arrow")
    places = _spool_images(source, scratch, frozenset(tested))
    own = pq.read_table(source, columns=[name for name in columns if name != "image"])
    own = own.filter(pc.is_in(own["case_id"], pa.array(tested, pa.string()))).sort_by("case_id")
    schema = own.schema.append(pa.field("image", pa.binary()))
    with pa.memory_map(str(scratch)) as file, pq.ParquetWriter(target, schema) as writer:
        batches = pa.ipc.open_file(file)

        def image_of(case_id: str) -> bytes | None:
            batch, row = places[case_id]
            image: bytes | None = batches.get_batch(batch).column(0)[row].as_py()
            return image

        for at in range(0, own.num_rows, _ROWS):
            part = own.slice(at, _ROWS)
            ids = part["case_id"].to_pylist()
            for variation in (PLAIN, STAIN, SHUFFLED) if donors else (PLAIN, STAIN):
                shown = [donors[case_id] for case_id in ids] if variation == SHUFFLED else ids
                keys = pa.array([key_of(case_id, variation) for case_id in ids], pa.string())
                named = part.set_column(part.column_names.index("case_id"), "case_id", keys)
                images = pa.array([image_of(case_id) for case_id in shown], pa.binary())
                writer.write_table(named.append_column("image", images).cast(schema))
    scratch.unlink()


def _spool_images(
    source: Path, scratch: Path, wanted: frozenset[str]
) -> dict[str, tuple[int, int]]:
    """Write the wanted cases' images where they can be reached singly: batch and row by case."""
    # Shuffled cases ask for images in no order at all: by number, a row group of parquet would be
    # decoded for each, while Arrow's own format is mapped into memory.
    places: dict[str, tuple[int, int]] = {}
    schema = pa.schema([pa.field("image", pa.binary())])
    ids = pa.array(sorted(wanted), pa.string())
    with pa.ipc.new_file(str(scratch), schema) as writer:
        count = 0
        for batch in pq.ParquetFile(source).iter_batches(_ROWS, columns=["case_id", "image"]):
            found = batch.filter(pc.is_in(batch["case_id"], ids))
            if found.num_rows:
                writer.write_batch(pa.record_batch([found["image"]], schema=schema))
                named = enumerate(found["case_id"].to_pylist())
                places |= {case_id: (count, row) for row, case_id in named}
                count += 1
    return places
