"""Packing of prompts and completions into rows for prefix-shared scoring.

An example is a prompt followed by its completions. The positions of each completion restart after
the prompt, and it sees the prompt and itself only. Several examples may stand in one row; each sees
itself only. Two beginnings are computed once: the one that all prompts of a batch share, which
stands before all rows as keys and values, and the one that all completions of an example share.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mint_ray.students.logprobs.examples import Example

PADDING = -1


@dataclass(frozen=True)
class Packed:
    """R rows of L tokens, and the T tokens whose log-probability is to be computed.

    `ids` and `positions` (R, L) are the model's inputs. `owners` (R, L) is the example that a token
    belongs to, -1 for padding. `segments` (R, L) is 0 for the example's prompt and c for its c-th
    completion. Tokens that all completions of an example start with stand once, in segment 0.
    `targets` (T,) are flat indices (row * L + column) of the tokens to predict, `sources` (T,)
    those of the tokens before them, whose hidden states predict. Number `terms[i]` of the T
    log-probabilities is added to sum `slots[i]`: sum b is that of the prompt of example b; the
    completions of all examples follow, then the examples' headers. `prefix` tokens before all rows
    are computed elsewhere.
    """

    ids: Tensor
    positions: Tensor
    owners: Tensor
    segments: Tensor
    sources: Tensor
    targets: Tensor
    terms: Tensor
    slots: Tensor
    prefix: int = 0

    def mask(self, dtype: torch.dtype) -> Tensor:
        """Return the (R, 1, L, prefix + L) mask that is added to attention scores.

        It is 0 where a query may see a key, else the lowest number of `dtype`. A boolean mask would
        cost memory: SDPA turns it into numbers once per layer, and keeps each copy for the backward
        pass.
        """
        rows, length = self.ids.shape
        row = torch.arange(rows, device=self.ids.device)[:, None, None]
        column = torch.arange(length, device=self.ids.device)
        visible = self._visible()(row, 0, column[:, None], column[None, :])[:, None]
        blank = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
        own = blank.masked_fill_(~visible, torch.finfo(dtype).min)
        return nn.functional.pad(own, (self.prefix, 0))  # everybody sees the prefix

    def block_mask(self) -> Any:
        """Return `mask` as a block mask of FlexAttention, which skips blocks that see nothing."""
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
            same_segment = segments[row, key] == segments[row, query]
            same_example = owners[row, key] == owners[row, query]
            allowed: Tensor = (query >= key) & same_example & (of_prompt | same_segment)
            return allowed

        return visible


def with_grids(packed: Packed, grids: Sequence[Tensor | None]) -> Tensor:
    """Return the (3, R, L) positions for a model whose images stand in a grid.

    Args:
        packed: as from `pack`.
        grids: for each example the (3, P) positions of its prompt, None for one without images.
    """
    positions = packed.positions.expand(3, -1, -1).clone()
    for index, grid in enumerate(grids):
        if grid is None:
            continue
        in_example = packed.owners == index
        in_prompt = in_example & (packed.positions < grid.shape[1])
        positions[:, in_prompt] = grid.to(positions.dtype)
        # Tokens of a grid share positions: completions continue after its largest position.
        shift = int(grid.max()) + 1 - grid.shape[1]
        positions[:, in_example & ~in_prompt] += shift
    return positions


def first_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Assign items to rows of `capacity` tokens by first-fit-decreasing.

    Args:
        lengths: tokens of each item.
        capacity: tokens of a row, at least the largest length.

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


def own_tokens(example: Example, prefix: int) -> int:
    """Return an example's tokens in its row: those behind the prefix, each shared one once."""
    start = example.shared_start
    own = sum(len(answer) - start for answer in example.completions)
    return len(example.prompt) - prefix + start + own


def pack(
    examples: Sequence[Example],
    rows: Sequence[Sequence[int]],
    with_prompt: bool,
    device: torch.device,
    prefix: int = 0,
) -> Packed:
    """Lay out examples in rows, padded at the right to the longest row.

    Args:
        examples: B examples.
        rows: for each row, indices of its examples.
        with_prompt: also score the prompts' tokens (`Example.prompt_targets`).
        device: of the result.
        prefix: number of tokens that all prompts start with and that are computed elsewhere; 0 if
            the prompts are scored.
    """
    length = max(sum(own_tokens(examples[item], prefix) for item in row) for row in rows)
    first_completion = [0]
    for example in examples:
        first_completion.append(first_completion[-1] + len(example.completions))
    ids: list[int] = []
    positions: list[int] = []
    owners: list[int] = []
    segments: list[int] = []
    sources: list[int] = []
    targets: list[int] = []
    terms: list[int] = []
    slots: list[int] = []

    def predict(first: int, count: int, source: int) -> range:
        """Predict `count` tokens from column `first` on, the first of them from `source`."""
        numbers = range(len(targets), len(targets) + count)
        if count:
            sources.extend([source, *range(first, first + count - 1)])
            targets.extend(range(first, first + count))
        return numbers

    for row in rows:
        for item in row:
            example = examples[item]
            at, shared = len(ids), example.shared_start
            ids += example.prompt[prefix:]
            end = len(ids)
            ids += example.completions[0][:shared]
            branch, branch_position = len(ids), len(example.prompt) + shared
            positions += range(prefix, branch_position)
            segments += [0] * (branch - at)
            if with_prompt:
                counted = example.prompt_targets
                terms += range(len(targets), len(targets) + len(counted))
                sources += [at + position - 1 for position in counted]
                targets += [at + position for position in counted]
                slots += [item] * len(counted)
            common = predict(end, shared, end - 1)
            terms += common[: example.header]
            slots += [len(examples) + first_completion[-1] + item] * example.header
            for number, answer in enumerate(example.completions):
                first, own = len(ids), len(answer) - shared
                ids += answer[shared:]
                positions += range(branch_position, branch_position + own)
                segments += [number + 1] * own
                # The last shared token predicts the first own token of every completion.
                terms += [*common, *predict(first, own, branch - 1)]
                slots += [len(examples) + first_completion[item] + number] * len(answer)
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
        grid(ids),
        grid(positions),
        grid(owners),
        grid(segments),
        flat(sources),
        flat(targets),
        flat(terms),
        flat(slots),
        prefix,
    )
