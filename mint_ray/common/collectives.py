"""The few collective operations that training needs; all of them work without a process group."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


def rank() -> int:
    """This process's rank, 0 without a process group."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes, 1 without a process group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def sum_over_ranks(values: Sequence[float], device: torch.device) -> list[float]:
    """Sums of each value over all ranks, in float64."""
    total = torch.tensor(list(values), dtype=torch.float64, device=device)
    if world_size() > 1:
        dist.all_reduce(total)
    return [float(value) for value in total]


def gather(value: Any) -> list[Any]:
    """Every rank's value, on every rank, by rank (between our own processes only)."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def agree(value: T) -> T:
    """Rank 0's value, on every rank."""
    first: T = gather(value)[0]
    return first


def wait_for_all() -> None:
    """Return once every process has come here."""
    if world_size() > 1:
        dist.barrier()


def sum_gradients(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Add the gradients of all ranks, in place, in one message."""
    if world_size() == 1:
        return
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = torch.cat([gradient.reshape(-1).float() for gradient in gradients])
    dist.all_reduce(flat)
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter).to(parameter.dtype)


@contextmanager
def process_group(wanted: bool) -> Iterator[None]:
    """What DeepSpeed needs around a run, where it is wanted: LOCAL_RANK and a process group.

    What a launcher has set stays as it is; what is set here is gone afterwards.
    """
    if not wanted:
        yield
        return
    with _local_rank():
        if dist.is_initialized():
            yield
        else:
            with _group_of_one():
                yield


@contextmanager
def _local_rank() -> Iterator[None]:
    """accelerate only looks for DeepSpeed where this is set, and ZeRO-3 reads it all the time."""
    absent = "LOCAL_RANK" not in os.environ
    os.environ.setdefault("LOCAL_RANK", "0")
    try:
        yield
    finally:
        if absent:
            del os.environ["LOCAL_RANK"]


@contextmanager
def _group_of_one() -> Iterator[None]:
    from deepspeed import comm

    backend = "nccl" if torch.cuda.is_available() else "gloo"
    # Kept in memory: no port is opened.
    store = dist.HashStore()  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        yield
    finally:
        # DeepSpeed's own function, since it also forgets the groups that DeepSpeed remembers.
        comm.destroy_process_group() if comm.is_initialized() else dist.destroy_process_group()
