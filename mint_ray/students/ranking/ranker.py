"""Constrained ranking of a catalogue's names by their probability as the first answer.

The score of a name is the unnormalised sum of its tokens' log-probabilities at the first
list position, end marker included. `exhaustive` scores every name; `beam` follows the best
partial names only and ranks the names that it finishes. Probabilities are the softmax of the
scores over the names that were scored: the whole catalogue, or the finished names. So the
probabilities of a beam search leave out the names that it did not finish, and are upper bounds.
"""

import logging
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mint_ray.common.arrays import Floats, Ints
from mint_ray.errors import ServingError
from mint_ray.images.decode import sample_image
from mint_ray.students.encoding.name_trie import build_trie, common_prefix
from mint_ray.students.encoding.prompt import Prompt
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layout_check import choose_layout
from mint_ray.students.logprobs.layouts import attention_of, base_of, padded_logps
from mint_ray.students.logprobs.prefixes import Prefix, compute_prefix
from mint_ray.students.ranking.apart import ROWS
from mint_ray.students.ranking.beam import Beam
from mint_ray.students.ranking.packed_weights import PackedWeights
from mint_ray.students.ranking.rankings import Ranking, Scores, ranking_of
from mint_ray.students.ranking.trie_scorer import TrieScorer
from mint_ray.students.student import Student

logger = logging.getLogger(__name__)

Search = Literal["auto", "exhaustive", "beam"]

# Trie tokens up to which `auto` scores every name.
EXHAUSTIVE_TOKENS = 2000
# Names scored together by models whose prompts cannot be shared.
NAMES_AT_ONCE = 8
# Nodes per forward pass of the exhaustive search, their ancestors not counted.
CHUNK = 512
_ROOT: Ints = np.zeros(1, dtype=np.int64)

_SHARING: set[tuple[str, ...]] = set()
"""Models of which this process knows that they agree with shared prompts. It is a matter of the
architecture and its kernels, so a student that replaces another need not be tried anew."""

NameScores = tuple[Ints, Floats]
"""Positions in the catalogue of the names that were scored, and their summed log-probabilities."""


class Ranker:
    """Ranker of a catalogue with one student: for clinical notes, or for images.

    Args:
        student: model, tokenizer and prompt settings.
        names: the catalogue's display names, in its order.
        top_k: names that a search must find, at most the catalogue's size.
        listed: most names in a ranking, `top_k` if None; the search scores no more names for it.
        search: `auto` is exhaustive up to `EXHAUSTIVE_TOKENS` tokens in the trie.
        beam_width: partial names followed by the beam search, at least `top_k`.
        temperature: scores are divided by it before they become probabilities.
        batch_size: cases computed together. In float32, and on GPUs, it changes scores in their
            last bits.
        frozen: the student's weights do not change any more. The keys and values of the tokens that
            all prompts start with are kept then, and packed weights, on a CPU in half precision.

    Raises:
        DataError: two names have the same tokens.
        ConfigError: `student.max_prompt_length` has no room for the instruction.
        ServingError: the model does not respect 4-D attention masks.
    """

    def __init__(
        self,
        student: Student,
        names: Sequence[str],
        *,
        top_k: int,
        listed: int | None = None,
        search: Search = "auto",
        beam_width: int = 16,
        temperature: float = 1.0,
        batch_size: int = 1,
        frozen: bool = False,
    ) -> None:
        self._student = student
        student.activate()
        self._temperature = temperature
        self.trie = build_trie(names, student.info.k, student.encoder)
        self._top_k = min(top_k, len(names))
        self._listed = self._top_k if listed is None else listed
        self._beam_width = max(beam_width, self._top_k)
        fits = len(self.trie) <= EXHAUSTIVE_TOKENS
        self.search = search if search != "auto" else "exhaustive" if fits else "beam"
        self._chunks = self.trie.table.chunks(CHUNK) if self.search == "exhaustive" else []
        self._names = tuple(names)
        self._batch_size = batch_size
        self._prefix_sharing = self._supports_prefix_sharing()
        self._prefix = self._common_prefix() if frozen and self._prefix_sharing else None
        self._weights = PackedWeights(ROWS) if frozen else None
        logger.info(
            "ranking: %s over %d names (%d trie tokens)", self.search, len(names), len(self.trie)
        )

    def rank(
        self, inputs: Sequence[str | bytes], answers: Sequence[int | None] | None = None
    ) -> list[Ranking]:
        """Rank the catalogue for each case.

        Args:
            inputs: what the student's task reads: clinical notes (untrusted text, an empty one is
                allowed), or encoded images.
            answers: position of each case's known answer in the catalogue, where known.

        Raises:
            ServingError: the model gives scores that are not finite.
            DataError: an image cannot be used; `open_tile` finds that out beforehand.
        """
        known = answers if answers is not None else [None] * len(inputs)
        return self.rankings(self.score(inputs, known))

    def rank_prompts(self, prompts: Sequence[Prompt]) -> list[Ranking]:
        """Rank the catalogue for each of the student's prompts; see `rank`."""
        return self.rankings(self._score_prompts(prompts, [None] * len(prompts)))

    def score(self, inputs: Sequence[str | bytes], answers: Sequence[int | None]) -> list[Scores]:
        """Return the scores behind `rank`, which has the same arguments and errors."""
        prompts = [self._student.prompt(item, self._names) for item in inputs]
        return self._score_prompts(prompts, answers)

    def rankings(self, scores: Sequence[Scores]) -> list[Ranking]:
        """Return the rankings of cases with these scores of `score`."""
        return [ranking_of(item, self._listed, self._temperature) for item in scores]

    def _score_prompts(
        self, prompts: Sequence[Prompt], answers: Sequence[int | None]
    ) -> list[Scores]:
        self._student.activate()
        if not self._prefix_sharing:
            return [
                self._in_order(self._one_by_one(prompt), answer, False, prompt)
                for prompt, answer in zip(prompts, answers, strict=True)
            ]
        scores: dict[int, Scores] = {}
        # Prompts of similar length stand together, since a batch is as wide as its longest.
        by_length = sorted(range(len(prompts)), key=lambda index: len(prompts[index].ids))
        for at in range(0, len(prompts), self._batch_size):
            batch = by_length[at : at + self._batch_size]
            together = self._score_together(
                [prompts[index] for index in batch], [answers[index] for index in batch]
            )
            scores |= zip(batch, together, strict=True)
        return [scores[index] for index in range(len(prompts))]

    def _in_order(
        self,
        scores: NameScores,
        answer: int | None,
        scored_separately: bool,
        prompt: Prompt,
    ) -> Scores:
        """Sort best first, ties in the catalogue's order, a separately scored answer last."""
        by_label = np.argsort(scores[0])
        labels, values = scores[0][by_label], scores[1][by_label]
        if not np.isfinite(values).all():
            raise ServingError(
                "expected finite scores of the student, found scores that are not finite; train it "
                "anew"
            )
        ranked_by = np.where(labels == answer, -math.inf, values) if scored_separately else values
        order = np.argsort(-ranked_by, kind="stable")
        labels, values = labels[order], values[order]
        rank = None
        if answer is not None:
            rank = (
                len(self._names)
                if scored_separately
                else int(np.flatnonzero(labels == answer)[0]) + 1
            )
        return Scores(labels, values, rank, scored_separately, prompt.shortened)

    def _score_together(
        self, prompts: Sequence[Prompt], answers: Sequence[int | None]
    ) -> list[Scores]:
        search = self._exhaustive if self.search == "exhaustive" else self._beam
        with torch.inference_mode():
            scorer = TrieScorer(
                self._student.model, self.trie, prompts, self._prefix, self._weights
            )
            scores_by_case = search(scorer, len(prompts))
            unreached = [
                answer if answer is not None and answer not in labels else None
                for (labels, _), answer in zip(scores_by_case, answers, strict=True)
            ]
            if any(label is not None for label in unreached):
                scores_by_case = self._score_separately(scorer, scores_by_case, unreached)
        return [
            self._in_order(scores, answer, label is not None, prompt)
            for scores, answer, label, prompt in zip(
                scores_by_case, answers, unreached, prompts, strict=True
            )
        ]

    def _exhaustive(self, scorer: TrieScorer, cases: int) -> list[NameScores]:
        logps = np.zeros((cases, len(self.trie) + 1))

        def score_below(nodes: Ints, hidden: Tensor) -> None:
            for row, (children, values) in enumerate(
                scorer.next_token_logps([nodes] * cases, hidden)
            ):
                logps[row, children] = values

        score_below(_ROOT, scorer.root_hidden[:, None])
        for nodes, count in self._chunks:
            hidden = scorer.append_nodes([nodes] * cases)
            score_below(nodes[-count:], hidden[:, -count:])
            scorer.reset_to_prompt()
        ends = np.array(self.trie.ends)
        return [(np.arange(len(ends)), sums[ends]) for sums in self._path_sums(logps)]

    def _path_sums(self, logps: Floats) -> Floats:
        """Return (cases, nodes) sums from the root to each node."""
        table = self.trie.table
        for depth in range(2, table.paths.shape[1] + 1):
            level = table.depths == depth
            logps[:, level] += logps[:, table.parents[level]]
        return logps

    def _beam(self, scorer: TrieScorer, cases: int) -> list[NameScores]:
        beams = [Beam(self.trie.table, self._beam_width, self._top_k) for _ in range(cases)]
        hidden = scorer.root_hidden[:, None]
        while any(len(beam.frontier) for beam in beams):
            child_logps = scorer.next_token_logps([beam.frontier for beam in beams], hidden)
            for beam, (children, logps) in zip(beams, child_logps, strict=True):
                beam.grow(children, logps)
            frontiers = [beam.frontier for beam in beams]
            if any(map(len, frontiers)):
                hidden = scorer.append_nodes(frontiers)
        return [beam.finished for beam in beams]

    def _score_separately(
        self,
        scorer: TrieScorer,
        scores_by_case: Sequence[NameScores],
        unreached: Sequence[int | None],
    ) -> list[NameScores]:
        """Score known answers that a search did not reach; return the cases' scores with them.

        `unreached` holds each case's answer as a position in the catalogue, None where the search
        reached it or there is no known one.
        """
        scorer.reset_to_prompt()
        paths = [
            np.array([0] if label is None else [0, *self.trie.path(self.trie.ends[label])])
            for label in unreached
        ]
        # Without the last node, below which nothing is to be scored.
        inner = [path[:-1] for path in paths]
        steps = [path[1:] for path in inner]
        hidden = scorer.root_hidden[:, None]
        if any(map(len, steps)):
            hidden = torch.cat([hidden, scorer.append_nodes(steps)], dim=1)
        together = []
        child_logps = scorer.next_token_logps(inner, hidden)
        for (labels, values), label, path, (children, logps) in zip(
            scores_by_case, unreached, paths, child_logps, strict=True
        ):
            if label is not None:
                total = math.fsum(logps[np.isin(children, path)])
                labels, values = np.append(labels, label), np.append(values, total)
            together.append((labels, values))
        return together

    def _one_by_one(self, prompt: Prompt) -> NameScores:
        """Score every name as a sequence of its own, for models whose prompts cannot be shared."""
        ids = prompt.ids + self.trie.prefix
        scores: list[float] = []
        for at in range(0, len(self._names), NAMES_AT_ONCE):
            ends = self.trie.ends[at : at + NAMES_AT_ONCE]
            names = [tuple(self.trie.tokens[n] for n in self.trie.path(end)) for end in ends]
            example = Example(("ranked",), ids, tuple(names), vision_inputs=prompt.vision_inputs)
            with torch.inference_mode():
                sums = padded_logps(self._student.model, [example], False).sums
            scores += sums.tolist()
        return np.arange(len(scores)), np.array(scores, dtype=np.float64)

    def _common_prefix(self) -> Prefix | None:
        """Compute the tokens that all prompts share before the note or the image."""
        image = self._student.task.input_modality == "image"
        samples = [sample_image()] * 2 if image else ["A note.", "Some other note."]
        prompts = [self._student.prompt(sample, self._names) for sample in samples]
        vision_inputs = prompts[0].vision_inputs
        shared = common_prefix([prompt.ids for prompt in prompts])
        # Two samples of the same image agree in its tokens too: stop before the first of them.
        if vision_inputs is not None:
            shared = min(shared, *vision_inputs.image_positions)
        if not shared:
            return None
        with torch.inference_mode():
            return compute_prefix(base_of(self._student.model), prompts[0].ids[:shared])

    def _supports_prefix_sharing(self) -> bool:
        """Return whether the model computes all names after one prompt as it would one by one.

        Raises:
            ServingError: it does not, and names cannot be scored one by one: only an exhaustive
                search over images does that.
        """
        encoder = self._student.encoder
        image = self._student.task.input_modality == "image"
        prompt = self._student.prompt(sample_image() if image else "", self._names)
        kind = _kind_of(self._student)
        if kind in _SHARING:
            return True
        answers = (encoder.answer(self._names[0]), encoder.answer(self._names[-1]))
        sample = Example(("sample",), prompt.ids, answers, vision_inputs=prompt.vision_inputs)
        if choose_layout("auto", self._student.model, sample) == "prefix_shared":
            if kind is not None:
                _SHARING.add(kind)
            return True
        if image and self.search == "exhaustive":
            return False
        raise ServingError(
            f"{self._student.info.base_model}: expected the same results under a 4-D attention "
            "mask, which ranking needs, found others; use a model with plain causal attention"
        )


def _kind_of(student: Student) -> tuple[str, ...] | None:
    """Return what decides whether a model agrees with shared prompts, None if that is not known."""
    info, weight = student.info, next(student.model.parameters())
    if info.base_revision is None:
        return None
    how = attention_of(base_of(student.model)), weight.dtype, weight.device.type
    return (info.base_model, info.base_revision, info.task, *map(str, how))
