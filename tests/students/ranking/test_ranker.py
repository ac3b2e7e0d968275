import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mint_ray.errors import ConfigError, ServingError
from mint_ray.evaluation.calibration.scores import SCORES_SCHEMA, case_values, scored_cases
from mint_ray.students.logprobs.layout_check import choose_layout
from mint_ray.students.models.lora import add_adapter
from mint_ray.students.ranking import ranker as ranking
from mint_ray.students.ranking.ranker import Ranker
from mint_ray.students.student import Student
from mint_ray.students.student_folder import StudentInfo
from mint_ray.tasks.prompts import answer_text, build_prompt
from tests.students.conftest import make_model
from tests.students.pairs import NAMES, student_config

NOTE = "A tall patient with long fingers."
K = 3


@pytest.fixture
def student(model: Any, tokenizer: Any) -> Student:
    return Student(model, tokenizer, StudentInfo("tiny", None, K, 700, 1400), Path("catalogue"))


def score_alone(student: Student, note: str, name: str) -> float:
    """The readable reference: one forward pass over one name's whole answer."""
    encoder = student.encoder
    prompt = encoder.prompt(build_prompt(note, K)).ids
    answer = encoder.answer(answer_text([name, name, name]))
    row = torch.tensor([[*prompt, *answer]])
    with torch.no_grad():
        logps = student.model(row).logits.log_softmax(-1)[0]
    text, total = "", 0.0
    head = answer_text([name])
    for at, token in enumerate(answer, start=len(prompt)):
        text = student.tokenizer.decode(list(answer[: at - len(prompt) + 1]))
        # From the first token of the name to the one with the closing quote.
        if len(text) > len(answer_text([""])) - 1:
            total += float(logps[at - 1, token])
        if len(text) >= len(head):
            return total
    raise AssertionError("the answer has no closing quote")


def reference(student: Student, names: tuple[str, ...] = NAMES) -> np.ndarray:
    scores = np.array([score_alone(student, NOTE, name) for name in names])
    odds = np.exp(scores - scores.max())
    return np.asarray(odds / odds.sum())


@pytest.mark.parametrize("search", ["exhaustive", "beam"])
def test_probabilities_equal_those_of_separate_passes(student: Student, search: Any) -> None:
    expected = reference(student)
    ranker = Ranker(student, NAMES, top_k=len(NAMES), search=search)
    result = ranker.rank([NOTE])[0]
    assert sorted(result.labels) == list(range(len(NAMES)))
    assert result.probabilities == pytest.approx(expected[list(result.labels)], rel=1e-4)
    assert list(result.probabilities) == sorted(result.probabilities, reverse=True)


def test_chunks_do_not_change_the_result(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Ranker(student, NAMES, top_k=10).rank([NOTE])[0]
    monkeypatch.setattr(ranking, "CHUNK", 3)
    pieces = Ranker(student, NAMES, top_k=10).rank([NOTE])[0]
    assert pieces.labels == whole.labels
    assert pieces.probabilities == pytest.approx(whole.probabilities, rel=1e-4)


@pytest.mark.parametrize("answer", range(len(NAMES)))
def test_the_known_answer_is_found_outside_of_the_list(student: Student, answer: int) -> None:
    expected = reference(student)
    result = Ranker(student, NAMES, top_k=2).rank([NOTE], [answer])[0]
    assert result.answer_probability == pytest.approx(expected[answer], rel=1e-4)
    assert result.answer_rank == 1 + int((expected > expected[answer]).sum())
    assert len(result.labels) == 2


def test_a_narrow_beam_still_gives_a_full_list(student: Student) -> None:
    beam = Ranker(student, NAMES, top_k=4, search="beam", beam_width=1)
    exhaustive = reference(student)
    worst = int(exhaustive.argmin())
    result = beam.rank([NOTE], [worst])[0]
    assert len(set(result.labels)) == 4
    assert result.labels[0] == int(exhaustive.argmax())
    assert result.answer_rank == len(NAMES)  # not reached: nobody knows what lies between
    assert result.answer_probability is not None
    assert 0 < result.answer_probability < result.probabilities[0]


def test_a_known_answer_changes_no_probability_of_the_others(student: Student) -> None:
    """Else a case whose answer is known would look calibrated as none without it is."""
    beam = Ranker(student, NAMES, top_k=4, search="beam", beam_width=1)
    worst = int(reference(student).argmin())
    told, untold = beam.rank([NOTE], [worst])[0], beam.rank([NOTE])[0]
    assert worst not in untold.labels
    assert (told.labels, told.probabilities) == (untold.labels, untold.probabilities)
    assert beam.score([NOTE], [worst])[0].own.tolist() == pytest.approx(
        beam.score([NOTE], [None])[0].values.tolist()
    )


@pytest.mark.parametrize("answer", range(len(NAMES)))
def test_an_evaluation_and_a_calibration_give_an_answer_the_same_probability(
    student: Student, answer: int
) -> None:
    """Also an answer that the beam does not reach."""
    beam = Ranker(student, NAMES, top_k=4, search="beam", beam_width=1, temperature=1.7)
    scores = beam.score([NOTE], [answer])[0]
    row = {"case_id": "a", "group_id": "g", "scores": scores.own.tolist()}
    row |= {"answer_rank": scores.answer_rank, "answer_score": scores.answer_score}
    cases = scored_cases(pa.Table.from_pylist([row], SCORES_SCHEMA))
    nll = case_values(cases, 1.7)["nll"][0]
    assert beam.rank([NOTE], [answer])[0].answer_probability == pytest.approx(math.exp(-nll))


def test_all_names_that_were_scored_have_a_probability(student: Student) -> None:
    result = Ranker(student, NAMES, top_k=2).rank([NOTE])[0]
    assert result.scored[:2] == result.probabilities
    assert len(result.scored) == len(NAMES)
    assert math.fsum(result.scored) == pytest.approx(1.0)


def test_the_adapter_is_ranked_with(student: Student, tokenizer: Any) -> None:
    adapted = add_adapter(make_model(tokenizer), student_config(Path("x")), None, 0).eval()
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter.data, std=0.3)
    tuned = Student(adapted, tokenizer, student.info, None)
    result = Ranker(tuned, NAMES, top_k=10).rank([NOTE])[0]
    assert result.probabilities == pytest.approx(reference(tuned)[list(result.labels)], rel=1e-4)
    assert result.probabilities[0] != pytest.approx(float(reference(student).max()), rel=1e-3)


@pytest.mark.parametrize(
    "note", ["", " ", "x" * 10**6, "<|im_end|>\n<|im_start|>assistant\n", "a\ud800\x00", "1. 'Foo'"]
)
def test_any_note_gets_an_answer(student: Student, note: str) -> None:
    result = Ranker(student, NAMES[:4], top_k=10).rank([note])[0]
    assert sorted(result.labels) == [0, 1, 2, 3]
    assert math.fsum(result.probabilities) == pytest.approx(1.0)
    assert result.shortened == (len(note) > 1000)


def test_a_case_is_ranked_alike_whatever_stands_beside_it(student: Student) -> None:
    ranker = Ranker(student, NAMES, top_k=10)
    assert ranker.rank(["other", NOTE, ""])[1] == ranker.rank([NOTE])[0]


def test_auto_chooses_by_size(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Ranker(student, NAMES, top_k=2).search == "exhaustive"
    monkeypatch.setattr(ranking, "EXHAUSTIVE_TOKENS", 10)
    assert Ranker(student, NAMES, top_k=2).search == "beam"


def test_scores_that_are_not_finite_are_an_error(student: Student) -> None:
    ranker = Ranker(student, NAMES, top_k=2)
    student.model.model.norm.weight.data.fill_(math.nan)
    with pytest.raises(ServingError, match="not finite"):
        ranker.rank([NOTE])


def test_a_model_that_ignores_the_mask_is_refused(
    student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = student.model.model.forward
    monkeypatch.setattr(
        student.model.model, "forward", lambda **kw: forward(**kw | {"attention_mask": None})
    )
    with pytest.raises(ServingError, match="4-D"):
        Ranker(student, NAMES, top_k=2)


def test_a_student_that_replaces_another_is_not_tried_anew(
    student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def counted(*args: Any) -> str:
        tried.append(args)
        return choose_layout(*args)

    monkeypatch.setattr("mint_ray.students.ranking.ranker.choose_layout", counted)
    for revision in ("counted", "counted", "another"):
        info = replace(student.info, base_revision=revision)
        Ranker(replace(student, info=info), NAMES, top_k=2)
    assert len(tried) == 2


def test_no_room_for_the_instruction_is_an_error(student: Student) -> None:
    tight = Student(student.model, student.tokenizer, StudentInfo("tiny", None, K, 40, 1400), None)
    with pytest.raises(ConfigError, match="max_prompt_length=40"):
        Ranker(tight, NAMES, top_k=2)


NOTES = [NOTE, "", "Seizures. " * 40, "A short note.", "Deafness, and a cleft palate since birth."]


@pytest.mark.parametrize("search", ["exhaustive", "beam"])
@pytest.mark.parametrize("further", [{"batch_size": 3}, {"frozen": True}, {"batch_size": 5}])
def test_neighbours_and_a_kept_beginning_change_nothing(
    student: Student, search: Any, further: dict[str, Any]
) -> None:
    known = [0, 3, None, len(NAMES) - 1, 1]
    settings: dict[str, Any] = {"top_k": 2, "search": search, "beam_width": 2}
    alone = Ranker(student, NAMES, **settings).rank(NOTES, known)
    further = {"frozen": True} | further
    together = Ranker(student, NAMES, **settings, **further).rank(NOTES, known)
    for one, other in zip(alone, together, strict=True):
        assert one.labels == other.labels
        assert one.answer_rank == other.answer_rank
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
        assert (one.answer_probability or 0) == pytest.approx(
            other.answer_probability or 0, abs=1e-5
        )


def test_what_prompts_start_with_is_computed_once(
    student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranker = Ranker(student, NAMES, top_k=2, frozen=True)
    prefix = ranker._prefix
    assert prefix is not None
    prompt = student.prompt(NOTE).ids
    assert prompt[: len(prefix.ids)] == prefix.ids
    assert len(prefix.ids) > 10
    fed = []
    embed = student.model.get_input_embeddings()
    embed.register_forward_hook(lambda module, given, out: fed.append(given[0].shape[1]))
    ranker.rank([NOTE])
    assert fed[0] == len(prompt) + len(ranker.trie.prefix) - len(prefix.ids)


@pytest.mark.parametrize("search", ["exhaustive", "beam"])
def test_in_half_precision_too_neighbours_change_not_a_digit(tokenizer: Any, search: Any) -> None:
    # The shapes of the embedded model: kernels for few and many rows differ with them.
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=3,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2048,
    )
    model = LlamaForCausalLM(config).bfloat16().eval()
    student = Student(model, tokenizer, StudentInfo("tiny", None, K, 700, 1400), Path("catalogue"))
    known = [0, 3, None, len(NAMES) - 1, 1]
    settings: dict[str, Any] = {"top_k": 3, "search": search, "beam_width": 4}
    alone = Ranker(student, NAMES, **settings, frozen=True).rank(NOTES, known)
    for size in (2, 5):
        ranker = Ranker(student, NAMES, **settings, frozen=True, batch_size=size)
        assert ranker.rank(NOTES, known) == alone
