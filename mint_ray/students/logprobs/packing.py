"""The shared layout on paper: which token stands where, and what it may see.

One example is a prompt followed by its completions; each completion's positions restart after
the prompt, and it sees the prompt and itself only. Several examples may stand in one row, each
seeing itself only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mint_ray.students.logprobs.examples import Example

PADDING = -1


@dataclass(frozen=True)
class Packed:
    """R rows of L tokens, and the T tokens whose log-probability is wanted.

    `owners` (R, L) is the example a token belongs to, `segments` (R, L) 0 for its prompt and c
    for its c-th completion. `sources` and `targets` (T,) are flat places that predict and are
    predicted, `slots` (T,) what they are summed into: slot b is the prompt of example b, the
    completions of all examples follow.
    """

    ids: Tensor
    positions: Tensor
    owners: Tensor
    segments: Tensor
    sources: Tensor
    targets: Tensor
    slots: Tensor

    def mask(self, dtype: torch.dtype) -> Tensor:
        """(R, 1, L, L) added to attention scores: 0 where a token may look, else very low.

        Not boolean: SDPA would turn that into numbers once per layer, and keep each copy for
        the backward pass.
        """
        rows, length = self.ids.shape
        row = torch.arange(rows, device=self.ids.device)[:, None, None]
        place = torch.arange(length, device=self.ids.device)
        visible = self._visible()(row, 0, place[:, None], place[None, :])[:, None]
        blank = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
        return blank.masked_fill_(~visible, torch.finfo(dtype).min)

    def block_mask(self) -> Any:
        """The same as a block mask of FlexAttention, which skips blocks that see nothing."""
        from torch.nn.attention.flex_attention import create_block_mask

        rows, length = self.ids.shape
        device = self.ids.device
        # Compiled on a GPU, so that the whole mask never exists.
        return create_block_mask(
            self._visible(), rows, None, length, length, str(device), _compile=device.type == "cuda"
        )

    def _visible(self) -> Callable[[Any, Any, Any, Any], Tensor]:
        owners, segments = self.owners, self.segments

        def visible(row: Any, head: Any, query: Any, key: Any) -> Tensor:
            of_prompt = segments[row, key] == 0
            own = segments[row, key] == segments[row, query]
            mine = owners[row, key] == owners[row, query]
            seen: Tensor = (query >= key) & mine & (of_prompt | own)
            return seen

        return visible


def with_grids(packed: Packed, grids: Sequence[Tensor | None]) -> Tensor:
    """(3, R, L) positions of a model whose images stand in a grid.

    Args:
        packed: as from `pack`.
        grids: of each example the (3, P) positions of its prompt, None for a plain one.
    """
    positions = packed.positions.expand(3, -1, -1).clone()
    for number, grid in enumerate(grids):
        if grid is None:
            continue
        mine = packed.owners == number
        asked, answered = mine & (packed.segments == 0), mine & (packed.segments > 0)
        positions[:, asked] = grid.to(positions.dtype)
        positions[:, answered] += int(grid.max()) + 1 - grid.shape[1]
    return positions


def first_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Items in as few rows of `capacity` tokens as first-fit-decreasing finds.

    >>> first_fit([5, 9, 4], 9)
    [[1], [0, 2]]
    """
    rows: list[list[int]] = []
    free: list[int] = []
    for item in sorted(range(len(lengths)), key=lambda item: (-lengths[item], item)):
        for row, room in enumerate(free):
            if lengths[item] <= room:
                rows[row].append(item)
                free[row] -= lengths[item]
                break
        else:
            rows.append([item])
            free.append(capacity - lengths[item])
    return rows


def pack(
    examples: Sequence[Example],
    rows: Sequence[Sequence[int]],
    with_prompt: bool,
    device: torch.device,
) -> Packed:
    """Lay out examples in rows (positions in `examples`), padded at the right to the longest.

    Args:
        examples: B examples.
        rows: which examples stand in which row.
        with_prompt: also want the prompts' tokens (`Example.prompt_targets`).
        device: of the result.
    """
    length = max(sum(len(examples[item]) for item in row) for row in rows)
    completed = [0]
    for example in examples:
        completed.append(completed[-1] + len(example.completions))
    ids: list[int] = []
    positions: list[int] = []
    owners: list[int] = []
    segments: list[int] = []
    sources: list[int] = []
    targets: list[int] = []
    slots: list[int] = []
    for row in rows:
        for item in row:
            example = examples[item]
            start, at = len(example.prompt), len(ids)
            ids += example.prompt
            positions += range(start)
            segments += [0] * start
            if with_prompt:
                counted = example.prompt_targets
                sources += [at + place - 1 for place in counted]
                targets += [at + place for place in counted]
                slots += [item] * len(counted)
            for number, answer in enumerate(example.completions):
                first = len(ids)
                ids += answer
                positions += range(start, start + len(answer))
                segments += [number + 1] * len(answer)
                sources += [at + start - 1, *range(first, first + len(answer) - 1)]
                targets += range(first, first + len(answer))
                slots += [len(examples) + completed[item] + number] * len(answer)
            owners += [item] * (len(ids) - at)
        # Padding is an example of its own, so that no row of the mask is empty.
        padding = -len(ids) % length
        ids += [0] * padding
        positions += [0] * padding
        segments += [0] * padding
        owners += [PADDING] * padding

    def grid(values: list[int]) -> Tensor:
        return torch.tensor(values, device=device).view(len(rows), length)

    def flat(values: list[int]) -> Tensor:
        return torch.tensor(values, device=device)

    return Packed(
        *(grid(values) for values in (ids, positions, owners, segments)),
        *(flat(values) for values in (sources, targets, slots)),
    )
