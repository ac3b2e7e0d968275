"""Batched inference and training without Ray's processes: the same functions, in this process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray.train import ScalingConfig

from mint_ray.commands import predict
from mint_ray.runtime import inference, ray_train, session


def write_rows(tasks: Sequence[Any], batches: Sequence[pa.Table], output: Path, _: object) -> None:
    """Write the rows of every batch as Ray Data does: a file that no other run overwrites."""
    read = inference.RowReader(tasks)
    for batch in batches:
        rows, name = read(batch), tasks[batch["task"][0].as_py()].name
        folder = output
        if name is not None:
            folder, rows = inference.part_of(output, name), rows.drop_columns([inference.PART])
        pq.write_table(rows, folder / f"{uuid4().hex}.parquet")


def local_mode(num_workers: int, **_: object) -> ScalingConfig:
    """Return Ray Train's own way to run the one worker of a training in this process."""
    assert num_workers == 1
    return ScalingConfig(num_workers=0)


@contextmanager
def without_ray() -> Iterator[None]:
    """Run all actors and trainings in this process, and begin no session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "_run_on_ray", write_rows)
        patch.setattr(ray_train, "ScalingConfig", local_mode)
        patch.setattr(session, "connect", lambda resources: "actors in this process")
        patch.setattr(predict, "connect", lambda resources: "actors in this process")
        patch.setattr(session, "check_room", lambda resources, say, check: None)
        yield
