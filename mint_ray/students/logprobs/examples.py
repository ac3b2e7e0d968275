"""Training examples: one prompt with the completions that an objective compares.

A preference row becomes one part. The parts of one case and prompt (its sets of rejected names)
are merged into one example, so that their prompt and their common answers are computed once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from mint_ray.students.encoding.name_trie import common_prefix
from mint_ray.students.encoding.prompt import VisionInputs

CompletionKind = Literal["pairs", "chosen", "answer", "candidates"]


Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Example:
    """Token ids of a prompt and its completions.

    `preference_pairs` are (chosen, rejected) indices of `completions`. `nll_completions` are the
    indices that the likelihood term runs over: once per pair, so that the term equals that of the
    separate rows. Without any it is that of the prompt alone, where the prompt counts. `gold` is
    the index of the known answer where the objective compares one. `index` is the example's number
    among the usable ones, from 0. `vision_inputs` are the prompt's images, whose tokens are in
    `prompt`. `header` counts the tokens that every completion begins with because all answers of
    the task do; it is 0 where nobody asks for them.
    """

    preference_ids: tuple[str, ...]
    prompt: Tokens
    completions: tuple[Tokens, ...]
    preference_pairs: tuple[tuple[int, int], ...] = ()
    nll_completions: tuple[int, ...] = ()
    gold: int | None = None
    shortened: bool = False
    index: int = 0
    vision_inputs: VisionInputs | None = None
    header: int = 0

    @cached_property
    def prompt_targets(self) -> tuple[int, ...]:
        """Positions of the prompt that a likelihood may count.

        The first token is left out, because no token predicts it, and so are image tokens.
        """
        images = frozenset(self.vision_inputs.image_positions if self.vision_inputs else ())
        return tuple(position for position in range(1, len(self.prompt)) if position not in images)

    @cached_property
    def shared_start(self) -> int:
        """Number of tokens that all completions start with; the last of each does not count."""
        shortest = min(map(len, self.completions))
        return min(common_prefix(self.completions), shortest - 1)

    def __len__(self) -> int:
        """Return the number of tokens of the prompt, counted once, and of all completions."""
        return len(self.prompt) + sum(map(len, self.completions))

    @property
    def n_pairs_or_1(self) -> int:
        """Units that the loss is averaged over: the pairs, or 1 for an example without pairs."""
        return max(1, len(self.preference_pairs))

    def likelihood_tokens(self, with_prompt: bool) -> int:
        """Count the tokens of the likelihood term: its completions', and the prompt's if asked.

        The prompt counts once for each of these completions, and once where there is none.
        """
        prompt = len(self.prompt_targets) if with_prompt else 0
        if not self.nll_completions:
            return prompt
        return sum(len(self.completions[index]) + prompt for index in self.nll_completions)


def merge(parts: Sequence[Example], index: int = 0) -> Example:
    """Merge parts that share their prompt into one example; equal completions are kept once.

    >>> a = Example(("a",), (1,), ((2,), (3,)), preference_pairs=((0, 1),), nll_completions=(0,))
    >>> b = Example(("b",), (1,), ((2,), (4,)), preference_pairs=((0, 1),), nll_completions=(0,))
    >>> merge([a, b]).completions, merge([a, b]).preference_pairs
    (((2,), (3,), (4,)), ((0, 1), (0, 2)))
    """
    index_of: dict[Tokens, int] = {}
    for part in parts:
        for completion in part.completions:
            index_of.setdefault(completion, len(index_of))
    first, paired = parts[0], bool(parts[0].preference_pairs)

    def merged(part: Example, local: int) -> int:
        return index_of[part.completions[local]]

    pairs = [(merged(p, win), merged(p, lose)) for p in parts for win, lose in p.preference_pairs]
    gold = [merged(p, p.gold) for p in parts if p.gold is not None]
    nll_completions = [merged(part, local) for part in parts for local in part.nll_completions]
    return Example(
        tuple(name for part in parts for name in part.preference_ids),
        first.prompt,
        tuple(index_of),
        tuple(pairs),
        tuple(nll_completions) if paired else tuple(dict.fromkeys(nll_completions)),
        gold[0] if gold else None,
        any(part.shortened for part in parts),
        index,
        first.vision_inputs,
        min(part.header for part in parts),
    )
