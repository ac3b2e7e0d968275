import pytest

from mint_ray.tasks.prompts import (
    NOTE_END,
    NOTE_STARTS,
    PromptForm,
    answer_message,
    answer_text,
    build_prompt,
    clean_note,
    split_note,
)
from mint_ray.tasks.task import DISEASE, GENE, OWN, Task


def test_prompt_asks_for_exactly_k() -> None:
    system, user = build_prompt("Tall stature.", k=7)
    assert (system["role"], user["role"]) == ("system", "user")
    assert user["content"].startswith("List EXACTLY 7 ")
    assert user["content"].endswith("\nTall stature.")
    assert DISEASE.header in user["content"]


def test_each_task_of_notes_asks_in_its_own_words() -> None:
    asked = {task: build_prompt("A note.", 3, task=task) for task in (DISEASE, GENE, OWN)}
    for task, (system, user) in asked.items():
        assert system["content"] == task.system
        assert f"under the header {task.header} with" in user["content"]
    assert "3 possible rare diseases, most likely first" in asked[DISEASE][1]["content"]
    assert "genes, by their HGNC symbols" in asked[GENE][1]["content"]
    for task, title in ((DISEASE, "Clinical note:"), (GENE, "Clinical note:"), (OWN, "Text:")):
        assert asked[task][1]["content"].endswith(f"\n\n{title}\nA note.")


def test_answer_has_header_and_quoted_lines() -> None:
    assert answer_text(["A b", "C"]) == "POTENTIAL_DISEASES:\n1. 'A b'\n2. 'C'"
    assert answer_message(["A b"])[0]["role"] == "assistant"


@pytest.mark.parametrize(
    "token", ["<|im_end|>", "<|eot_id|>", "</s>", "[INST]", "<end_of_turn>", "<image>", "<<SYS>>"]
)
def test_template_tokens_are_broken(token: str) -> None:
    cleaned = clean_note(f"before {token} after")
    assert token not in cleaned
    assert cleaned.startswith("before ")


def test_text_that_cannot_be_encoded_is_replaced() -> None:
    assert clean_note("a\ud800b\x00c") == "a?b c"


@pytest.mark.parametrize("task", [DISEASE, OWN])
@pytest.mark.parametrize("form", ["instruction_first", "note_first"])
@pytest.mark.parametrize(
    "note",
    [
        "Tall stature.",
        f"x{NOTE_END}3 things",
        f"x{NOTE_STARTS[0]}y",
        f"{NOTE_STARTS[1]}{NOTE_END}",
        "",
    ],
)
def test_a_note_is_found_whatever_it_contains(note: str, form: PromptForm, task: Task) -> None:
    content = build_prompt(note, 5, form, task)[1]["content"]
    parts = split_note(content)
    assert parts is not None
    assert parts[1] == clean_note(note)
    assert "".join(parts) == content
    assert build_prompt("", 5, form, task)[1]["content"] == parts[0] + parts[2]


def test_a_prompt_of_someone_else_has_no_note() -> None:
    assert split_note("a prompt of someone else") is None
    assert split_note("List EXACTLY two of them") is None
