from typing import Any

import pytest

from mint_ray.config.evaluation import SamplingConfig
from mint_ray.students.ranking.generation import Sampling, generate, sampling_of
from mint_ray.students.student import Student
from mint_ray.students.student_folder import StudentInfo
from mint_ray.tasks.task import DISEASE, TISSUE


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
        generate(student, ["a note"], 12, [Sampling(temperature=3.0, seed=seed)])
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_a_drawn_answer_does_not_depend_on_those_before_it(student: Student) -> None:
    draws = [Sampling(temperature=3.0, seed=seed) for seed in (1, 2)]
    both = generate(student, ["a note", "another"], 12, draws)
    assert generate(student, ["another"], 12, draws[1:]) == both[1:]
    assert generate(student, ["another", "a note"], 12, draws[::-1]) == both[::-1]


def test_what_is_not_set_is_the_papers() -> None:
    assert sampling_of(SamplingConfig(), DISEASE) == Sampling(0.8, 0.8, 10)
    assert sampling_of(SamplingConfig(), TISSUE) == Sampling(0.7, 0.6, 10)
    assert sampling_of(SamplingConfig(top_p=1.0, top_k=3), TISSUE) == Sampling(0.7, 1.0, 3)
