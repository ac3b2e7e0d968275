"""Log-probabilities under the policy at step 0, computed once and kept on disk.

The key is the content: examples' tokens, base model, starting adapter and precision. So a run
that is resumed, or repeated with other settings, finds them again.
"""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mint_ray.common.cache import cache_folder
from mint_ray.common.collectives import gather, rank, world_size
from mint_ray.common.digests import digest_of
from mint_ray.common.files import replacing
from mint_ray.students.logprobs.examples import Example

logger = logging.getLogger(__name__)

Score = Callable[[Sequence[Example]], Tensor]
"""Summed log-probabilities (N,) of a micro-batch's completions, without gradient."""


def reference_key(*content: object) -> str:
    """Name of a cache entry: hex digest of whatever decides its values."""
    return digest_of(json.dumps([str(part) for part in content]))[:24]


class Reference:
    """Summed log-probabilities (N,) of every usable example's completions.

    Args:
        key: `reference_key` of the content.
        count: usable examples.
        example: encodes the example of a number.
        score: scores a micro-batch with the policy at step 0.
        micro_batch_size: examples per forward pass.
    """

    def __init__(
        self,
        key: str,
        count: int,
        example: Callable[[int], Example],
        score: Score,
        micro_batch_size: int,
    ) -> None:
        file = cache_folder() / "reference" / f"{key}.safetensors"
        found = _read(file, count)
        # All ranks take the same way: computing is a joint effort.
        if all(gather(found is not None)) and found is not None:
            logger.info("reference: %d examples from %s", count, file)
            self._sums = found
            return
        own = _compute(range(rank(), count, world_size()), example, score, micro_batch_size)
        self._sums = {number: sums for part in gather(own) for number, sums in part.items()}
        _write(file, self._sums)
        logger.info("reference: %d examples computed, kept in %s", count, file)

    def of(self, examples: Sequence[Example], device: torch.device) -> Tensor:
        """(N,) log-probabilities of a micro-batch's completions, one example after the other."""
        return torch.cat([self._sums[example.index] for example in examples]).to(device)


def _compute(
    numbers: range, example: Callable[[int], Example], score: Score, size: int
) -> dict[int, Tensor]:
    found: dict[int, Tensor] = {}
    for at in range(0, len(numbers), size):
        batch = [example(number) for number in numbers[at : at + size]]
        parts = torch.split(score(batch).cpu(), [len(one.completions) for one in batch])
        found |= {one.index: part.clone() for one, part in zip(batch, parts, strict=True)}
    return found


def _read(file: Path, count: int) -> dict[int, Tensor] | None:
    """What `_write` wrote, or None where it is absent, damaged or of another count."""
    try:
        with safe_open(file, "pt") as content:
            sums, offsets = content.get_tensor("sums"), content.get_tensor("offsets")
            told = (content.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    if len(offsets) != count + 1 or told != _digest(sums, offsets):
        logger.warning("reference: %s is damaged and is made again", file)
        return None
    return dict(enumerate(torch.split(sums, (offsets[1:] - offsets[:-1]).tolist())))


def _write(file: Path, found: dict[int, Tensor]) -> None:
    """Whole or not at all; ranks of one node may write the same file at once.

    Where the cache cannot be written, that costs time at the next start, never the result.
    """
    try:
        _write_file(file, found)
    except (OSError, SafetensorError) as error:
        logger.warning("reference: cannot keep it in %s (%s)", file.parent, type(error).__name__)


def _write_file(file: Path, found: dict[int, Tensor]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    ordered = [found[number] for number in range(len(found))]
    offsets = torch.tensor([0, *(len(part) for part in ordered)]).cumsum(0)
    sums = torch.cat(ordered)
    metadata = {"sha256": _digest(sums, offsets)}
    with replacing(file) as partial:
        save_file({"sums": sums, "offsets": offsets}, partial, metadata=metadata)


def _digest(sums: Tensor, offsets: Tensor) -> str:
    return digest_of(sums.numpy().tobytes(), offsets.numpy().tobytes())
