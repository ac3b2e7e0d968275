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
from scipy.special import expit, logsumexp, softmax

from mint_ray.errors import ServingError
from mint_ray.images.decode import sample_image
from mint_ray.students.encoding.name_trie import NameTrie, build_trie, common_prefix
from mint_ray.students.encoding.text import Prompt
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layout_check import choose_layout
from mint_ray.students.logprobs.layouts import padded_logps
from mint_ray.students.ranking.beam import Beam
from mint_ray.students.ranking.trie_scorer import Prefix, TrieScorer, keep_prefix
from mint_ray.students.student import Student

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
    none was given. A beam search that did not finish the answer scores it apart and ranks it last
    of the catalogue: what comes between is not known. It takes nothing from the probabilities of
    the others, which are those of a case whose answer nobody knows.
    """

    labels: tuple[int, ...]
    probabilities: tuple[float, ...]
    scored: tuple[float, ...]
    """Probabilities of all names that were scored, best first; the listed ones are the first."""
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
    scored_separately: bool
    """Whether the known answer was scored apart, and so is last."""
    shortened: bool

    @property
    def own(self) -> NDArray[np.float64]:
        """(m,) or (m - 1,) values without those of an answer that was scored apart."""
        return self.values[:-1] if self.scored_separately else self.values


class Ranker:
    """Ranks a catalogue with one student: for clinical notes, or for images.

    Args:
        student: model, tokenizer and prompt settings.
        names: the catalogue's display names, in its order.
        top_k: names that a search must find, at most the catalogue's size.
        listed: most names in a ranking, `top_k` if None; no search scores more names for it.
        search: `auto` is exhaustive up to `EXHAUSTIVE_TOKENS` tokens in the trie.
        beam_width: partial names followed by the beam search, at least `top_k`.
        temperature: scores are divided by it before they become probabilities.
        batch_size: cases computed together; changes no more than the last bits.
        keep_prefix: keep what all prompts start with computed, for a ranker that lives long.

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
        listed: int | None = None,
        search: Search = "auto",
        beam_width: int = 16,
        temperature: float = 1.0,
        batch_size: int = 1,
        keep_prefix: bool = False,
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
        self._chunks = _chunks(self.trie) if self.search == "exhaustive" else []
        self._names = tuple(names)
        self._batch_size = batch_size
        self._prefix_sharing = self._supports_prefix_sharing()
        self._prefix = self._common_prefix() if keep_prefix and self._prefix_sharing else None
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
        return [self._ranking(found) for found in self.score(seen, known)]

    def score(self, seen: Sequence[str | bytes], answers: Sequence[int | None]) -> list[Scores]:
        """The scores behind `rank`, which takes the same and raises the same."""
        self._student.activate()
        prompts = [self._student.prompt(item, self._names) for item in seen]
        if not self._prefix_sharing:
            return [
                self._in_order(self._one_by_one(prompt), answer, False, prompt)
                for prompt, answer in zip(prompts, answers, strict=True)
            ]
        found: list[Scores] = []
        for at in range(0, len(prompts), self._batch_size):
            end = at + self._batch_size
            found += self._score_together(prompts[at:end], answers[at:end])
        return found

    def _in_order(
        self,
        scores: Mapping[int, float],
        answer: int | None,
        scored_separately: bool,
        prompt: Prompt,
    ) -> Scores:
        """Best first, ties in the catalogue's order; an answer that was scored apart last."""
        labels = np.array(sorted(scores), dtype=np.int64)
        values = np.array([scores[int(label)] for label in labels], dtype=np.float64)
        if not np.isfinite(values).all():
            raise ServingError("the student gives scores that are not finite; train it anew")
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

    def _ranking(self, found: Scores) -> Ranking:
        own = found.own / self._temperature
        scored = tuple(softmax(own).tolist())
        answer = None
        if found.scored_separately:
            answer = float(expit(found.values[-1] / self._temperature - logsumexp(own)))
        elif found.answer_rank is not None:
            answer = scored[found.answer_rank - 1]
        labels = found.labels[: min(self._listed, len(scored))]
        return Ranking(
            tuple(labels.tolist()),
            scored[: len(labels)],
            scored,
            found.answer_rank,
            answer,
            found.shortened,
        )

    def _score_together(
        self, prompts: Sequence[Prompt], answers: Sequence[int | None]
    ) -> list[Scores]:
        search = self._exhaustive if self.search == "exhaustive" else self._beam
        with torch.inference_mode():
            scorer = TrieScorer(self._student.model, self.trie, prompts, self._prefix)
            scores = search(scorer, len(prompts))
            scored_separately = [
                answer if answer is not None and answer not in own else None
                for own, answer in zip(scores, answers, strict=True)
            ]
            if any(label is not None for label in scored_separately):
                self._score_separately(scorer, scores, scored_separately)
        return [
            self._in_order(own, answer, label is not None, prompt)
            for own, answer, label, prompt in zip(
                scores, answers, scored_separately, prompts, strict=True
            )
        ]

    def _exhaustive(self, scorer: TrieScorer, cases: int) -> list[dict[int, float]]:
        logps = scorer.next_token_logps([[0]] * cases, scorer.root_hidden[:, None])
        for nodes, wanted in self._chunks:
            hidden = scorer.append_nodes([nodes] * cases)
            own = scorer.next_token_logps([nodes[-wanted:]] * cases, hidden[:, -wanted:])
            for all_of_case, new in zip(logps, own, strict=True):
                all_of_case |= new
            scorer.reset_to_prompt()
        return [self._path_sums(of_case) for of_case in logps]

    def _path_sums(self, logps: Mapping[int, float]) -> dict[int, float]:
        sums = [0.0] * (len(self.trie) + 1)
        for node in range(1, len(sums)):
            sums[node] = sums[self.trie.parents[node]] + logps[node]
        return {label: sums[end] for label, end in enumerate(self.trie.ends)}

    def _beam(self, scorer: TrieScorer, cases: int) -> list[dict[int, float]]:
        beams = [Beam(self.trie, self._beam_width, self._top_k) for _ in range(cases)]
        hidden = scorer.root_hidden[:, None]
        while any(beam.frontier for beam in beams):
            below = scorer.next_token_logps([beam.frontier for beam in beams], hidden)
            for beam, logps in zip(beams, below, strict=True):
                beam.grow(logps)
            frontiers = [beam.frontier for beam in beams]
            if any(frontiers):
                hidden = scorer.append_nodes(frontiers)
        return [beam.finished for beam in beams]

    def _score_separately(
        self,
        scorer: TrieScorer,
        scores: Sequence[dict[int, float]],
        scored_separately: Sequence[int | None],
    ) -> None:
        """Score known answers that a search did not reach, each along its own path."""
        scorer.reset_to_prompt()
        paths = [
            [] if label is None else self.trie.path(self.trie.ends[label])
            for label in scored_separately
        ]
        first = scorer.next_token_logps([[0]] * len(scored_separately), scorer.root_hidden[:, None])
        inner = [path[:-1] for path in paths]
        if any(inner):
            more = scorer.next_token_logps(inner, scorer.append_nodes(inner))
            first = [one | two for one, two in zip(first, more, strict=True)]
        for own, label, path, logps in zip(scores, scored_separately, paths, first, strict=True):
            if label is not None:
                own[label] = math.fsum(logps[node] for node in path)

    def _one_by_one(self, prompt: Prompt) -> dict[int, float]:
        """Every name as a sequence of its own, for models whose prompts cannot be shared."""
        ids = prompt.ids + self.trie.prefix
        scores: dict[int, float] = {}
        for at in range(0, len(self._names), NAMES_AT_ONCE):
            ends = self.trie.ends[at : at + NAMES_AT_ONCE]
            names = [tuple(self.trie.tokens[n] for n in self.trie.path(end)) for end in ends]
            example = Example(("ranked",), ids, tuple(names), vision_inputs=prompt.vision_inputs)
            with torch.inference_mode():
                sums = padded_logps(self._student.model, [example], False).sums
            scores |= dict(enumerate(sums.tolist(), start=at))
        return scores

    def _common_prefix(self) -> Prefix | None:
        """What prompts have in common before the note or the image, computed."""
        image = self._student.task.input_modality == "image"
        samples = [sample_image()] * 2 if image else ["A note.", "Some other note."]
        prompts = [self._student.prompt(sample, self._names) for sample in samples]
        vision_inputs = prompts[0].vision_inputs
        shared = common_prefix([prompt.ids for prompt in prompts])
        if vision_inputs is not None:
            shared = min(shared, *vision_inputs.image_positions)
        return keep_prefix(self._student.model, prompts[0].ids[:shared]) if shared else None

    def _supports_prefix_sharing(self) -> bool:
        """Whether the model computes all names after one prompt as it would one by one.

        Raises:
            ServingError: it does not, and there are too many names to score them one by one.
        """
        encoder = self._student.encoder
        image = self._student.task.input_modality == "image"
        prompt = self._student.prompt(sample_image() if image else "", self._names)
        answers = (encoder.answer(self._names[0]), encoder.answer(self._names[-1]))
        sample = Example(("sample",), prompt.ids, answers, vision_inputs=prompt.vision_inputs)
        if choose_layout("auto", self._student.model, sample) == "prefix_shared":
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
