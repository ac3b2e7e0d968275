"""Beam search through a trie whose nodes have given log-probabilities."""

import numpy as np
import pytest

from mint_ray.common.arrays import Floats
from mint_ray.students.encoding.name_trie import NameTrie, TrieTable
from mint_ray.students.ranking.beam import NEGLIGIBLE, Beam


def trie_of(*names: str) -> TrieTable:
    """Return the trie of names whose tokens are their letters; no name begins another."""
    tokens, parents, ends = [-1], [-1], []
    nodes = {"": 0}
    for name in names:
        for stop in range(1, len(name) + 1):
            if name[:stop] not in nodes:
                nodes[name[:stop]] = len(tokens)
                tokens.append(ord(name[stop - 1]))
                parents.append(nodes[name[: stop - 1]])
        ends.append(nodes[name])
    children = tuple(
        tuple(node for node, parent in enumerate(parents) if parent == at)
        for at in range(len(tokens))
    )
    return NameTrie((), tuple(tokens), tuple(parents), children, tuple(ends)).table


def search(trie: TrieTable, logps: Floats, width: int, top_k: int) -> tuple[dict[int, float], int]:
    """Return the finished names' sums, and the number of passes; check what a pass asks for."""
    beam, passes = Beam(trie, width, top_k), 0
    asked = set[int]()
    while len(beam.frontier):
        nodes = beam.frontier.tolist()
        assert len(nodes) <= width
        for node in nodes:  # each once, its ancestors before it
            assert node not in asked
            assert node == 0 or int(trie.parents[node]) in asked
            asked.add(node)
        children, _ = trie.children_of(beam.frontier)
        beam.grow(children, logps[children])
        passes += 1
    labels, sums = beam.finished
    return dict(zip(labels.tolist(), sums.tolist(), strict=True)), passes


def exact_sums(trie: TrieTable, logps: Floats) -> dict[int, float]:
    """Return the sum of every name; `logps[0]`, which paths are filled up with, is 0."""
    ends = np.flatnonzero(trie.labels >= 0)
    return {int(trie.labels[end]): float(logps[trie.paths[end]].sum()) for end in ends}


def random_trie(rng: np.random.Generator, names: int) -> TrieTable:
    made = {"".join(rng.choice(list("abc"), size=rng.integers(2, 9))) + "." for _ in range(names)}
    return trie_of(*sorted(made))


@pytest.mark.parametrize("seed", range(8))
def test_a_wide_beam_finds_the_best_names(seed: int) -> None:
    rng = np.random.default_rng(seed)
    trie = random_trie(rng, 60)
    logps = -rng.exponential(size=len(trie.tokens))
    logps[0] = 0.0
    exact = exact_sums(trie, logps)
    found, _ = search(trie, logps, width=len(trie.tokens), top_k=5)
    best = sorted(exact, key=exact.__getitem__, reverse=True)[:5]
    assert sorted(found, key=found.__getitem__, reverse=True)[:5] == best
    assert found == pytest.approx({label: exact[label] for label in found})


def test_the_tokens_of_the_last_names_are_scored_together() -> None:
    long = "x" + "y" * 40 + "."
    trie = trie_of("a.", "b.", long)
    logps = np.where(trie.tokens == ord("x"), np.log(0.9), 0.0)
    logps[np.isin(trie.tokens, [ord("a"), ord("b")])] = np.log(0.05)
    found, passes = search(trie, logps, width=16, top_k=2)
    assert found == pytest.approx({0: np.log(0.05), 1: np.log(0.05), 2: np.log(0.9)})
    assert passes <= 2 + len(long) / 16 + 1


@pytest.mark.parametrize(("mass", "is_followed"), [(NEGLIGIBLE / 2, False), (0.04, True)])
def test_names_below_the_top_are_followed_as_long_as_they_show(
    mass: float, is_followed: bool
) -> None:
    """While another name, here the one of x, can still enter the top."""
    trie = trie_of("a.", "b.", "xyyyy.", "zyyyy.")
    logps = np.zeros(len(trie.tokens))
    for letter, probability in (("a", 0.5), ("b", 0.05), ("x", 0.4), ("z", mass)):
        logps[trie.tokens == ord(letter)] = np.log(probability)
    found, _ = search(trie, logps, width=4, top_k=2)
    assert 2 in found
    assert (3 in found) == is_followed


def test_names_behind_many_alternatives_are_not_lost_to_shorter_sums() -> None:
    """Few first tokens leave places free; the children of some nodes must not be scored alone."""
    letters = "abcdefghijklmnopqrst"
    best = [f"aa{letter}q." for letter in letters]
    others = [f"{a}{b}{c}q." for a in "bcd" for b in letters[:14] for c in letters[:12]]
    trie = trie_of(*best, *others)
    siblings = [np.count_nonzero(trie.parents == parent) for parent in trie.parents]
    logps = -np.log(siblings)  # all children of a node are as likely
    exact = exact_sums(trie, logps)
    found, _ = search(trie, logps, width=16, top_k=10)
    top = sorted(found.values(), reverse=True)[:10]
    assert top == pytest.approx(sorted(exact.values(), reverse=True)[:10])
