from typing import Any

import pytest

from mint_ray.errors import DataError
from mint_ray.students.encoding.name_trie import build_trie
from mint_ray.students.encoding.text import Encoder
from mint_ray.tasks.prompts import answer_text
from tests.students.pairs import NAMES


@pytest.fixture
def encoder(tokenizer: Any) -> Encoder:
    return Encoder(tokenizer, 700, 1400)


@pytest.mark.parametrize("k", [1, 2, 10])
def test_paths_are_the_tokens_of_a_training_answer(encoder: Encoder, k: int) -> None:
    trie = build_trie(NAMES, k, encoder)
    for name, end in zip(NAMES, trie.ends, strict=True):
        path = (*trie.prefix, *(trie.tokens[node] for node in trie.path(end)))
        answer = encoder.answer(answer_text([name] * k))
        assert answer[: len(path)] == path
        assert encoder.tokenizer.decode(list(path)).startswith(f"POTENTIAL_DISEASES:\n1. '{name}'")


def test_a_name_that_begins_another_ends_elsewhere(encoder: Encoder) -> None:
    trie = build_trie(["Noonan syndrome 1", "Noonan syndrome 10"], 3, encoder)
    short, long = (trie.path(end) for end in trie.ends)
    assert short[-1] not in long
    assert short[:2] == long[:2]


def test_merged_closing_quotes_are_in_the_vocabulary(encoder: Encoder) -> None:
    """The tokenizer merges `)'` into one token, so that names must not be tokenised alone."""
    trie = build_trie(["Marfan syndrome (atypical)", "Marfan syndrome"], 2, encoder)
    assert encoder.tokenizer.decode([trie.tokens[trie.ends[0]]]) == ")'"


def test_merged_opening_quotes_are_part_of_the_path(encoder: Encoder) -> None:
    names = ["(1;22) deletion", "Marfan syndrome", "'s Gravenhage disease", "étoile"]
    trie = build_trie(names, 2, encoder)
    for name, end in zip(names, trie.ends, strict=True):
        path = (*trie.prefix, *(trie.tokens[node] for node in trie.path(end)))
        assert encoder.answer(answer_text([name, name]))[: len(path)] == path


def test_shared_beginnings_are_stored_once(encoder: Encoder) -> None:
    trie = build_trie(NAMES, 2, encoder)
    assert len(trie) < sum(len(trie.path(end)) for end in trie.ends)
    assert all(parent < node for node, parent in enumerate(trie.parents[1:], start=1))
    assert sum(map(len, trie.children)) == len(trie)


@pytest.mark.parametrize("names", [[], ["Same", "Same"]])
def test_names_must_differ(encoder: Encoder, names: list[str]) -> None:
    with pytest.raises(DataError):
        build_trie(names, 2, encoder)
