"""Constrained ranking: the catalogue's names by their probability as the first answer.

The score of a name is the unnormalised sum of its tokens' log-probabilities at the first
list position, end marker included. `exhaustive` scores every name; `beam` follows the best
partial names only and ranks those that it finishes. Probabilities are the softmax of the
scores over the names that were scored: the whole catalogue, or the finished names. So those
of a beam search leave out the names that it never finished, and are upper bounds.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mint_ray.errors import ServingError
from mint_ray.images.decode import sample_image
from mint_ray.students.agreement import choose_layout
from mint_ray.students.encoding import Prompt
from mint_ray.students.examples import Example
from mint_ray.students.layouts import plain_logps
from mint_ray.students.student import Student
from mint_ray.students.tree_attention import TreeScorer
from mint_ray.students.trie import NameTrie, build_trie

logger = logging.getLogger(__name__)

Search = Literal["auto", "exhaustive", "beam"]

# Trie tokens up to which `auto` scores every name.
EXHAUSTIVE_TOKENS = 2000
# Names scored together by models whose prompts cannot be shared.
NAMES_AT_ONCE = 8
# Nodes per forward pass of the exhaustive search, their ancestors not counted.
CHUNK = 512


@dataclass(frozen=True)
class Ranking:
    """One case's answer: distinct names, best first, as positions in the catalogue.

    `answer_rank` (from 1) and `answer_probability` are those of the known answer, None where
    none was given. A beam search that did not finish the answer scores it apart and ranks it
    behind all names that were finished.
    """

    labels: tuple[int, ...]
    probabilities: tuple[float, ...]
    answer_rank: int | None
    answer_probability: float | None
    shortened: bool


@dataclass(frozen=True)
class Scores:
    """What one case's names scored, in the order of their ranks.

    `labels` (m,) are positions in the catalogue, `values` (m,) summed log-probabilities,
    `answer_rank` as in `Ranking`.
    """

    labels: NDArray[np.int64]
    values: NDArray[np.float64]
    answer_rank: int | None
    late: bool
    """Whether the known answer was scored apart, and so is last."""
    shortened: bool


class Ranker:
    """Ranks a catalogue with one student: for clinical notes, or for images.

    Args:
        student: model, tokenizer and prompt settings.
        names: the catalogue's display names, in its order.
        top_k: names in a ranking, at most the catalogue's size.
        search: `auto` is exhaustive up to `EXHAUSTIVE_TOKENS` tokens in the trie.
        beam_width: partial names followed by the beam search, at least `top_k`.
        temperature: scores are divided by it before they become probabilities.

    Raises:
        DataError: two names that no token tells apart.
        ConfigError: `student.max_prompt_length` has no room for the instruction.
        ServingError: a model that does not respect 4-D attention masks.
    """

    def __init__(
        self,
        student: Student,
        names: Sequence[str],
        *,
        top_k: int,
        search: Search = "auto",
        beam_width: int = 16,
        temperature: float = 1.0,
    ) -> None:
        self._student = student
        self._temperature = temperature
        self.trie = build_trie(names, student.info.k, student.encoder)
        self._top_k = min(top_k, len(names))
        self._beam_width = max(beam_width, self._top_k)
        fits = len(self.trie) <= EXHAUSTIVE_TOKENS
        self.search = search if search != "auto" else "exhaustive" if fits else "beam"
        self._chunks = _chunks(self.trie) if self.search == "exhaustive" else []
        self._names = tuple(names)
        self._shares = self._takes_trees()
        logger.info(
            "ranking: %s over %d names (%d trie tokens)", self.search, len(names), len(self.trie)
        )

    def rank(
        self, seen: Sequence[str | bytes], answers: Sequence[int | None] | None = None
    ) -> list[Ranking]:
        """Rank the catalogue for each case.

        Args:
            seen: clinical notes (untrusted text, an empty one is allowed), or encoded images for
                a student of images.
            answers: position of each case's known answer in the catalogue, where known.

        Raises:
            ServingError: the model gives scores that are not finite.
            DataError: an image that cannot be used; `open_tile` tells beforehand.
        """
        known = answers if answers is not None else [None] * len(seen)
        return [self._rank(item, answer) for item, answer in zip(seen, known, strict=True)]

    def score(self, seen: Sequence[str | bytes], answers: Sequence[int | None]) -> list[Scores]:
        """The scores behind `rank`, which takes the same and raises the same."""
        return [self._score(item, answer) for item, answer in zip(seen, answers, strict=True)]

    def _rank(self, seen: str | bytes, answer: int | None) -> Ranking:
        found = self._score(seen, answer)
        probabilities = np.exp((found.values - found.values.max()) / self._temperature)
        probabilities /= probabilities.sum()
        rank = found.answer_rank
        top = min(self._top_k, len(found.labels) - found.late)
        return Ranking(
            tuple(int(label) for label in found.labels[:top]),
            tuple(float(value) for value in probabilities[:top]),
            rank,
            None if rank is None else float(probabilities[rank - 1]),
            found.shortened,
        )

    def _score(self, seen: str | bytes, answer: int | None) -> Scores:
        prompt = self._student.prompt(seen, self._names)
        if not self._shares:
            return _in_order(self._one_by_one(prompt), answer, False, prompt.shortened)
        search = self._exhaustive if self.search == "exhaustive" else self._beam
        with torch.inference_mode():
            scorer = TreeScorer(self._student.model, self.trie, prompt)
            scores = search(scorer)
            late = answer if answer is not None and answer not in scores else None
            if late is not None:
                scorer.forget()
                scores[late] = self._score_path(scorer, self.trie.ends[late])
        return _in_order(scores, answer, late is not None, prompt.shortened)

    def _exhaustive(self, scorer: TreeScorer) -> dict[int, float]:
        logps = scorer.child_logps([0], scorer.root)
        for nodes, wanted in self._chunks:
            hidden = scorer.feed(nodes)
            logps |= scorer.child_logps(nodes[-wanted:], hidden[-wanted:])
            scorer.forget()
        sums = [0.0] * (len(self.trie) + 1)
        for node in range(1, len(sums)):
            sums[node] = sums[self.trie.parents[node]] + logps[node]
        return {label: sums[end] for label, end in enumerate(self.trie.ends)}

    def _beam(self, scorer: TreeScorer) -> dict[int, float]:
        label_at = {end: label for label, end in enumerate(self.trie.ends)}
        sums = {0: 0.0}
        frontier, hidden = [0], scorer.root
        finished: dict[int, float] = {}
        while frontier:
            below = scorer.child_logps(frontier, hidden)
            for node, logp in below.items():
                sums[node] = sums[self.trie.parents[node]] + logp
                if node in label_at:
                    finished[label_at[node]] = sums[node]
            inner = [node for node in below if self.trie.children[node]]
            frontier = sorted(inner, key=lambda node: (-sums[node], node))[: self._beam_width]
            if not frontier or self._settled(finished, sums[frontier[0]]):
                break
            hidden = scorer.feed(frontier)
        return finished

    def _settled(self, finished: Mapping[int, float], best_open: float) -> bool:
        """Whether no open name can still enter the top: scores only fall as names grow."""
        best = sorted(finished.values(), reverse=True)[: self._top_k]
        return len(best) == self._top_k and best[-1] > best_open

    def _score_path(self, scorer: TreeScorer, end: int) -> float:
        path = self.trie.path(end)
        logps = scorer.child_logps([0], scorer.root)
        if len(path) > 1:
            logps |= scorer.child_logps(path[:-1], scorer.feed(path[:-1]))
        return math.fsum(logps[node] for node in path)

    def _one_by_one(self, prompt: Prompt) -> dict[int, float]:
        """Every name as a sequence of its own, for models whose prompts cannot be shared."""
        ids = prompt.ids + self.trie.prefix
        scores: dict[int, float] = {}
        for at in range(0, len(self._names), NAMES_AT_ONCE):
            ends = self.trie.ends[at : at + NAMES_AT_ONCE]
            names = [tuple(self.trie.tokens[n] for n in self.trie.path(end)) for end in ends]
            example = Example(("ranked",), ids, tuple(names), pictures=prompt.pictures)
            with torch.inference_mode():
                sums = plain_logps(self._student.model, [example], False).sums
            scores |= dict(enumerate(sums.tolist(), start=at))
        return scores

    def _takes_trees(self) -> bool:
        """Whether the model computes all names after one prompt as it would one by one.

        Raises:
            ServingError: it does not, and there are too many names to score them one by one.
        """
        encoder = self._student.encoder
        image = self._student.task.sees == "image"
        prompt = self._student.prompt(sample_image() if image else "", self._names)
        answers = (encoder.answer(self._names[0]), encoder.answer(self._names[-1]))
        sample = Example(("sample",), prompt.ids, answers, pictures=prompt.pictures)
        if choose_layout("auto", self._student.model, sample) == "shared":
            return True
        if image and self.search == "exhaustive":
            return False
        raise ServingError(
            f"{self._student.info.base_model} gives other results under a 4-D attention mask, "
            "which ranking needs; use a model with plain causal attention"
        )


def _chunks(trie: NameTrie) -> list[tuple[list[int], int]]:
    """The inner nodes in depth-first order, cut into batches that stand alone.

    Each batch starts with the ancestors that it lacks; the number says how many nodes at its
    end are its own.
    """
    order = []
    stack = list(reversed(trie.children[0]))
    while stack:
        node = stack.pop()
        if trie.children[node]:
            order.append(node)
            stack.extend(reversed(trie.children[node]))
    chunks = []
    for at in range(0, len(order), CHUNK):
        own = order[at : at + CHUNK]
        missing = trie.path(own[0])[:-1]
        chunks.append(([*missing, *own], len(own)))
    return chunks


def _in_order(
    scores: Mapping[int, float], answer: int | None, late: bool, shortened: bool
) -> Scores:
    """Best first, ties in the catalogue's order; an answer that was scored apart last."""
    labels = np.array(sorted(scores), dtype=np.int64)
    values = np.array([scores[int(label)] for label in labels], dtype=np.float64)
    if not np.isfinite(values).all():
        raise ServingError("the student gives scores that are not finite; train it anew")
    ranked_by = np.where(labels == answer, -math.inf, values) if late else values
    order = np.argsort(-ranked_by, kind="stable")
    labels, values = labels[order], values[order]
    rank = int(np.flatnonzero(labels == answer)[0]) + 1 if answer is not None else None
    return Scores(labels, values, rank, late, shortened)
