"""Training examples: one prompt with the completions that an objective compares.

A preference row gives a part; the parts of one case and prompt (its sets of rejected names)
are merged into one example, so that their prompt and their common answers are computed once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from mint_ray.students.encoding.vision_inputs import VisionInputs

CompletionKind = Literal["pairs", "chosen", "answer", "candidates"]


Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Example:
    """Token ids of a prompt and its completions; positions are places in `completions`.

    `pairs` are (chosen, rejected) positions, `likelihood` the positions that the likelihood
    term runs over (once per pair, so that it is what the rows apart would give), `answer` the
    position of the known answer where one is compared. `number` is the example's place among
    the usable ones. `vision_inputs` are the prompt's images, whose tokens are in `prompt`.
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

    @cached_property
    def prompt_targets(self) -> tuple[int, ...]:
        """Positions of the prompt that a likelihood may count.

        Not the first token, which nothing predicts, and no image token.
        """
        images = frozenset(self.vision_inputs.image_positions if self.vision_inputs else ())
        return tuple(place for place in range(1, len(self.prompt)) if place not in images)

    def __len__(self) -> int:
        """Tokens of the prompt, once, and of every completion."""
        return len(self.prompt) + sum(map(len, self.completions))

    @property
    def n_pairs_or_1(self) -> int:
        """What the mean of the loss counts: pairs, or the example itself where it has none."""
        return max(1, len(self.preference_pairs))

    def likelihood_tokens(self, with_prompt: bool) -> int:
        """Tokens of the likelihood term: its answers', and those of the prompt that count."""
        prompt = len(self.prompt_targets) if with_prompt else 0
        return sum(len(self.completions[place]) + prompt for place in self.nll_completions)


def merge(parts: Sequence[Example], index: int = 0) -> Example:
    """One example of parts that share their prompt; equal completions are kept once.

    >>> a = Example(("a",), (1,), ((2,), (3,)), preference_pairs=((0, 1),), nll_completions=(0,))
    >>> b = Example(("b",), (1,), ((2,), (4,)), preference_pairs=((0, 1),), nll_completions=(0,))
    >>> merge([a, b]).completions, merge([a, b]).preference_pairs
    (((2,), (3,), (4,)), ((0, 1), (0, 2)))
    """
    places: dict[Tokens, int] = {}
    for part in parts:
        for completion in part.completions:
            places.setdefault(completion, len(places))
    first, paired = parts[0], bool(parts[0].preference_pairs)

    def place(part: Example, position: int) -> int:
        return places[part.completions[position]]

    pairs = [(place(p, best), place(p, worst)) for p in parts for best, worst in p.preference_pairs]
    answers = [place(p, p.gold) for p in parts if p.gold is not None]
    liked = [place(part, position) for part in parts for position in part.nll_completions]
    return Example(
        tuple(name for part in parts for name in part.preference_ids),
        first.prompt,
        tuple(places),
        tuple(pairs),
        tuple(liked) if paired else tuple(dict.fromkeys(liked)),
        answers[0] if answers else None,
        any(part.shortened for part in parts),
        index,
        first.vision_inputs,
    )
