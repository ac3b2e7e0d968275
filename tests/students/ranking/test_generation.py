from typing import Any

import pytest

from mint_ray.students.ranking.generation import Sampling, generate
from mint_ray.students.student import Student, StudentInfo


@pytest.fixture
def student(model: Any, tokenizer: Any) -> Student:
    return Student(model, tokenizer, StudentInfo("tiny", None, 3, 700, 1400), None)


def test_greedy_answers_repeat(student: Student) -> None:
    first = generate(student, ["a note", "another"], max_new_tokens=8)
    assert first == generate(student, ["a note", "another"], max_new_tokens=8)
    assert len(first) == 2
    assert all("<|im_end|>" not in text for text in first)


def test_sampling_depends_on_its_seed(student: Student) -> None:
    texts = [
        generate(student, ["a note"], 12, Sampling(temperature=3.0, seed=seed))
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]
