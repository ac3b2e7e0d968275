"""A process computes on the GPU that it was given."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from mint_ray.common import devices
from mint_ray.common.devices import bfloat16_pays, pick_device


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_RANK", "ACCELERATE_TORCH_DEVICE"):
        monkeypatch.delenv(name, raising=False)


def see(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)


@pytest.mark.parametrize(
    ("gpus", "rank", "expected"),
    [
        (0, "1", "cpu"),
        (4, None, "cuda:0"),
        (4, "2", "cuda:2"),  # a launcher whose workers all see the node's GPUs
        (1, "2", "cuda:0"),  # CUDA_VISIBLE_DEVICES shows a worker its own alone
    ],
)
def test_the_local_rank_picks_among_the_gpus_that_are_seen(
    monkeypatch: pytest.MonkeyPatch, gpus: int, rank: str | None, expected: str
) -> None:
    see(monkeypatch, gpus)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert pick_device() == torch.device(expected)


def test_what_the_caller_or_ray_train_says_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, 4)
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "cuda:3")
    assert pick_device() == torch.device("cuda:3")
    assert pick_device("cpu") == torch.device("cpu")


@pytest.fixture
def unmeasured() -> Iterator[None]:
    bfloat16_pays.cache_clear()
    yield
    bfloat16_pays.cache_clear()


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    ("instructions", "ratio", "expected"),
    [(True, 3.0, True), (True, 1.1, False), (False, 3.0, False)],
)
def test_bfloat16_needs_instructions_and_a_faster_product(
    monkeypatch: pytest.MonkeyPatch, instructions: bool, ratio: float, expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    seconds = {torch.float32: ratio, torch.bfloat16: 1.0}
    monkeypatch.setattr(devices, "_seconds", seconds.__getitem__)
    assert bfloat16_pays() is expected


HEAP = """
import ctypes
from pathlib import Path
from mint_ray.common.devices import release_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
blocks = [libc.malloc(60_000) for _ in range(4000)]
for block in blocks:
    ctypes.memset(block, 1, 60_000)
kept = blocks[::100]  # scattered, so that no end of the heap is free
for block in set(blocks) - set(kept):
    libc.free(block)
before = resident()
release_freed_memory()
print(before - resident())
"""


def test_freed_memory_goes_back_to_the_system() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("this C library has no malloc_trim")
    done = subprocess.run(
        [sys.executable, "-c", HEAP], capture_output=True, text=True, check=True, timeout=120
    )
    assert float(done.stdout) > 150  # MiB of 229


FAULTS = """
import resource
import torch
from mint_ray.common.devices import keep_freed_memory

def faults_of_large_blocks():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(40):
        torch.ones(10, 2**20)  # 40 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults_of_large_blocks())
keep_freed_memory()
print(faults_of_large_blocks())
"""


@pytest.mark.parametrize("own", [False, True], ids=["kept", "as the environment says"])
def test_freed_memory_is_kept_for_the_next_large_block(own: bool) -> None:
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("this C library has no mallopt")
    environment = os.environ | ({"MALLOC_MMAP_THRESHOLD_": "65536"} if own else {})
    command = [sys.executable, "-c", FAULTS]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=120, env=environment
    )
    usual, kept = map(int, done.stdout.split())
    # Some blocks do not fit what is kept.
    assert kept > usual * 0.9 if own else kept < usual / 3
