"""Log-probabilities under the policy at step 0, computed once and kept on disk.

The key of a cache entry is a digest of its content: examples' tokens, base model, starting adapter
and precision. So a run that is resumed, or repeated with other settings, finds the values again.
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
    """Return the name of a cache entry: a hex digest of everything that decides its values."""
    return digest_of(json.dumps([str(part) for part in content]))[:24]


class Reference:
    """Summed log-probabilities (N,) of the N completions of each usable example, in nats.

    All ranks must construct it together.

    Args:
        key: `reference_key` of the content.
        count: usable examples.
        example: encodes the example of an index, from 0.
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
        cached = _read(file, count)
        # All ranks read or all compute: a rank alone would wait for the others for ever.
        if all(gather(cached is not None)) and cached is not None:
            logger.info("reference: %d examples from %s", count, file)
            self._sums = cached
            return
        local = _compute(range(rank(), count, world_size()), example, score, micro_batch_size)
        self._sums = {index: sums for part in gather(local) for index, sums in part.items()}
        _write(file, self._sums)
        logger.info("reference: %d examples computed, kept in %s", count, file)

    def of(self, examples: Sequence[Example], device: torch.device) -> Tensor:
        """Return the (N,) sums of a micro-batch's N completions, one example after the other."""
        return torch.cat([self._sums[example.index] for example in examples]).to(device)


def _compute(
    indices: range, example: Callable[[int], Example], score: Score, size: int
) -> dict[int, Tensor]:
    sums: dict[int, Tensor] = {}
    for at in range(0, len(indices), size):
        batch = [example(index) for index in indices[at : at + size]]
        parts = torch.split(score(batch).cpu(), [len(item.completions) for item in batch])
        # A part is a view: without a copy it would keep the whole micro-batch's tensor.
        sums |= {item.index: part.clone() for item, part in zip(batch, parts, strict=True)}
    return sums


def _read(file: Path, count: int) -> dict[int, Tensor] | None:
    """Read the file of `_write`; None where it is absent, damaged or of another count."""
    try:
        with safe_open(file, "pt") as content:
            sums, offsets = content.get_tensor("sums"), content.get_tensor("offsets")
            stored_digest = (content.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    if len(offsets) != count + 1 or stored_digest != _digest(sums, offsets):
        logger.warning("reference: %s is damaged and is made again", file)
        return None
    return dict(enumerate(torch.split(sums, (offsets[1:] - offsets[:-1]).tolist())))


def _write(file: Path, sums: dict[int, Tensor]) -> None:
    """Write the file whole or not at all; ranks of one node may write it at the same time.

    A cache that cannot be written costs time at the next start, but does not change the result.
    """
    try:
        _write_file(file, sums)
    except (OSError, SafetensorError) as error:
        logger.warning("reference: cannot keep it in %s (%s)", file.parent, type(error).__name__)


def _write_file(file: Path, sums: dict[int, Tensor]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    ordered = [sums[index] for index in range(len(sums))]
    offsets = torch.tensor([0, *(len(part) for part in ordered)]).cumsum(0)
    joined = torch.cat(ordered)
    metadata = {"sha256": _digest(joined, offsets)}
    with replacing(file) as partial:
        save_file({"sums": joined, "offsets": offsets}, partial, metadata=metadata)


def _digest(sums: Tensor, offsets: Tensor) -> str:
    return digest_of(sums.numpy().tobytes(), offsets.numpy().tobytes())
