"""Batched inference on a real Ray: every case once, also after the plug was pulled."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.config.resources import ResourcesConfig
from mint_ray.errors import DataError
from mint_ray.runtime.inference import (
    CaseInference,
    WantedCases,
    finished_cases,
    infer,
    infer_together,
)

pytestmark = pytest.mark.cluster

SCHEMA = pa.schema([("case_id", pa.string()), ("length", pa.int64())])
CASES = 160
BATCH = 16


class Measure:
    """Answers with the length of each note; `seconds` a batch, to be cut off half way."""

    def __init__(self, seconds: float = 0.0, lose: str = "", more: int = 0) -> None:
        self._seconds, self._lose, self._more = seconds, lose, more

    def __call__(self, cases: pa.Table) -> pa.Table:
        time.sleep(self._seconds)
        kept = [i for i, case in enumerate(cases["case_id"].to_pylist()) if case != self._lose]
        lengths = [len(note) + self._more for note in cases["note"].to_pylist()]
        return cases.select(["case_id"]).append_column("length", pa.array(lengths)).take(kept)


def job(**arguments: object) -> CaseInference:
    return CaseInference(Measure, arguments, ("case_id", "note"), SCHEMA, BATCH)


def write_cases(tmp_path: Path) -> Path:
    ids = [f"case-{i:03d}" for i in range(CASES)]
    table = pa.table({"case_id": ids, "note": ["x" * i for i in range(CASES)]})
    pq.write_table(table, tmp_path / "cases.parquet", row_group_size=40)
    return tmp_path / "cases.parquet"


@pytest.mark.usefixtures("ray_cluster")
def test_every_case_once_and_resumed_where_files_are_torn(tmp_path: Path) -> None:
    source, out = write_cases(tmp_path), tmp_path / "out"
    whole = infer(job(), source, out, ResourcesConfig())
    assert whole["length"].to_pylist() == list(range(CASES))
    files = sorted(out.glob("*.parquet"))
    assert len(files) > 1
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:50])
    kept = {file: file.stat().st_mtime_ns for file in files[2:]}
    assert infer(job(), source, out, ResourcesConfig()).equals(whole)
    assert all(file.stat().st_mtime_ns == when for file, when in kept.items())


@pytest.mark.usefixtures("ray_cluster")
def test_jobs_share_a_pool_and_keep_their_rows_apart(tmp_path: Path) -> None:
    source, out = write_cases(tmp_path), tmp_path / "out"
    few = frozenset({"case-003", "case-150"})
    jobs = {
        "lengths": WantedCases(job(), source),
        "few": WantedCases(job(more=1000), source, few),
        "none": WantedCases(job(), source, frozenset()),
    }
    resources = ResourcesConfig(actors=2)
    found = infer_together(jobs, out, resources)
    assert found["lengths"]["length"].to_pylist() == list(range(CASES))
    assert found["few"].to_pylist() == [
        {"case_id": "case-003", "length": 1003},
        {"case_id": "case-150", "length": 1150},
    ]
    assert found["none"].num_rows == 0
    lost = min((out / "job=lengths").glob("*.parquet"))
    kept = {file: file.stat().st_mtime_ns for file in out.rglob("*.parquet") if file != lost}
    lost.unlink()
    again = infer_together(jobs, out, resources)
    assert all(again[name].equals(rows) for name, rows in found.items())
    assert all(file.stat().st_mtime_ns == when for file, when in kept.items())


@pytest.mark.usefixtures("ray_cluster")
def test_only_the_wanted_cases(tmp_path: Path) -> None:
    wanted = frozenset({"case-003", "case-150"})
    table = infer(job(), write_cases(tmp_path), tmp_path / "out", ResourcesConfig(), only=wanted)
    assert table["case_id"].to_pylist() == sorted(wanted)


@pytest.mark.usefixtures("actors_here")
def test_what_was_written_twice_counts_once(tmp_path: Path) -> None:
    """As by a writer that outlived its killed driver."""
    source, out = write_cases(tmp_path), tmp_path / "out"
    whole = infer(job(), source, out, ResourcesConfig())
    shutil.copy(next(out.glob("*.parquet")), out / "late.parquet")
    assert infer(job(), source, out, ResourcesConfig()).equals(whole)


@pytest.mark.usefixtures("ray_cluster")
def test_a_lost_case_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected rows of 160 cases, found those of 159"):
        infer(job(lose="case-007"), write_cases(tmp_path), tmp_path / "out", ResourcesConfig())


@pytest.mark.usefixtures("ray_cluster")
def test_killed_half_way_then_run_again(tmp_path: Path) -> None:
    """The driver is killed while actors write; the next run ends with the same rows."""
    source, out = write_cases(tmp_path), tmp_path / "out"
    driver = [sys.executable, "-m", "tests.runtime.slow_inference", str(source), str(out)]
    process = subprocess.Popen([*driver, "0.7"], start_new_session=True)
    deadline = time.monotonic() + 120
    while not finished_files(out) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = finished_cases(out, SCHEMA)
    assert 0 < len(done) < CASES
    again = infer(job(), source, out, ResourcesConfig())
    assert again["length"].to_pylist() == list(range(CASES))
    rows = pq.read_table(out)
    assert rows.num_rows == len(set(rows["case_id"].to_pylist())) == CASES


def finished_files(folder: Path) -> list[Path]:
    return [file for file in folder.glob("*.parquet") if file.stat().st_size]
