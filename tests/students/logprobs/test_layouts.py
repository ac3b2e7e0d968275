from dataclasses import replace
from typing import Any

import pytest
import torch

from mint_ray.errors import ConfigError
from mint_ray.students.data.rows import RowEncoder
from mint_ray.students.encoding.text import Encoder
from mint_ray.students.logprobs import layout_check
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layout_check import choose_attention, choose_layout
from mint_ray.students.logprobs.layouts import FLEX, attention_of, padded_logps, prefix_shared_logps
from mint_ray.students.logprobs.packing import first_fit, own_tokens
from mint_ray.students.logprobs.prefixes import shared_beginning
from tests.students.conftest import assert_same_gradients, take_gradients
from tests.students.pairs import pair_row


def test_both_layouts_agree(model: Any, examples: list[Example]) -> None:
    plain = padded_logps(model, examples, with_prompt=True)
    shared = prefix_shared_logps(model, examples, with_prompt=True)
    for ours, reference in zip(shared, plain, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-4, check_dtype=False)


def test_plain_equals_a_hand_count(model: Any, examples: list[Example]) -> None:
    first = examples[0]
    row = torch.tensor([[*first.prompt, *first.completions[1]]])
    logps = model(row).logits.log_softmax(-1)[0]
    start = len(first.prompt)
    expected = sum(float(logps[at - 1, row[0, at]].detach()) for at in range(start, row.shape[1]))
    result = padded_logps(model, examples, with_prompt=False)
    assert result.sums[1].item() == pytest.approx(expected, rel=1e-5)
    assert result.counts[:2].tolist() == [len(answer) for answer in first.completions]
    assert not result.prompt_sums.any()


def with_completions(example: Example, number: int) -> Example:
    first, second = example.completions
    return replace(example, completions=(first, second, first[::-1], second[::-1])[:number])


def test_examples_of_different_shapes_share_rows(model: Any, examples: list[Example]) -> None:
    many = [with_completions(examples[i % 3], 1 + i % 4) for i in range(5)]
    many += [replace(example, prompt=example.prompt[:40]) for example in many]
    lengths = [len(example) for example in many]
    assert len(first_fit(lengths, max(lengths))) < len(many)
    plain = padded_logps(model, many, with_prompt=True)
    shared = prefix_shared_logps(model, many, with_prompt=True)
    for ours, reference in zip(shared, plain, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-4, check_dtype=False)


def test_rows_that_share_a_sequence_do_not_see_one_another(
    model: Any, examples: list[Example]
) -> None:
    short = replace(with_completions(examples[0], 1), prompt=examples[0].prompt[:9])
    alone = prefix_shared_logps(model, [short], with_prompt=True)
    packed = prefix_shared_logps(model, [examples[2], short, short], with_prompt=True)
    assert first_fit([len(examples[2]), len(short), len(short)], len(examples[2])) == [[0], [1, 2]]
    assert packed.sums[-1].item() == pytest.approx(alone.sums[0].item(), abs=1e-4)
    assert packed.prompt_sums[-1].item() == pytest.approx(alone.prompt_sums[0].item(), abs=1e-4)


def test_completions_do_not_see_one_another(model: Any, examples: list[Example]) -> None:
    first, second = examples[0].completions
    other = replace(examples[0], completions=(first[::-1], second))
    before = prefix_shared_logps(model, [examples[0]], with_prompt=False).sums[1].detach()
    after = prefix_shared_logps(model, [other], with_prompt=False).sums[1].detach()
    assert float(before) == pytest.approx(float(after), abs=1e-4)


@pytest.mark.parametrize("rest", [1, 7, 60])
def test_a_beginning_that_prompts_share_is_computed_once(
    model: Any, examples: list[Example], rest: int
) -> None:
    beginning = examples[0].prompt[:30]
    many = [
        replace(example, prompt=beginning + example.prompt[30:][: rest + number])
        for number, example in enumerate(examples)
    ]
    assert shared_beginning(model, many)[:30] == beginning
    plain = padded_logps(model, many, with_prompt=False)
    plain.sums.sum().backward()
    expected = take_gradients(model)
    passes = []
    handle = model.model.register_forward_hook(lambda *_: passes.append(1))
    shared = prefix_shared_logps(model, many, with_prompt=False)
    handle.remove()
    shared.sums.sum().backward()
    assert len(passes) == 2
    torch.testing.assert_close(shared.sums, plain.sums, rtol=1e-5, atol=1e-4)
    assert shared.counts.tolist() == plain.counts.tolist()
    assert_same_gradients(take_gradients(model), expected)


def test_a_prompt_is_never_shared_to_its_last_token(model: Any, examples: list[Example]) -> None:
    twice = [examples[0]] * 2
    assert shared_beginning(model, twice) == examples[0].prompt[:-1]
    assert shared_beginning(model, twice[:1]) == ()
    assert shared_beginning(model, [replace(e, prompt=e.prompt[:10]) for e in twice]) == ()


def test_nothing_is_kept_from_a_pass_that_is_computed_again(
    model: Any, examples: list[Example]
) -> None:
    model.activation_checkpointing_enable()
    assert shared_beginning(model, examples) != ()
    model.train()
    assert shared_beginning(model, examples) == ()


def test_a_start_that_completions_share_stands_once(model: Any, examples: list[Example]) -> None:
    first, second = examples[0].completions
    alike = replace(examples[0], completions=(first, first[:-2] + second[-3:], first[:5]))
    assert own_tokens(alike, 0) == len(alike) - 2 * 4
    plain = padded_logps(model, [alike], with_prompt=True)
    shared = prefix_shared_logps(model, [alike], with_prompt=True)
    for ours, reference in zip(shared, plain, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-4, check_dtype=False)


def test_flex_attention_gives_the_same(model: Any, examples: list[Example]) -> None:
    many = [with_completions(examples[i % 3], 1 + i % 3) for i in range(4)]
    plain = padded_logps(model, many, with_prompt=True)
    model.set_attn_implementation(FLEX)
    with torch.no_grad():
        flex = prefix_shared_logps(model, many, with_prompt=True)
    for ours, reference in zip(flex, plain, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-4, check_dtype=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="it trains on a GPU")
def test_flex_attention_that_cannot_train_is_refused(adapted: Any, examples: list[Example]) -> None:
    with pytest.raises(ConfigError, match="attention=auto"):
        choose_attention("flex", "auto", adapted, examples[0])
    assert attention_of(adapted.get_base_model()) == "sdpa"


def test_auto_shares_where_the_layouts_agree(model: Any, examples: list[Example]) -> None:
    assert choose_layout("auto", model, examples[0]) == "prefix_shared"


def test_auto_shares_also_where_a_student_is_sure_of_itself(
    model: Any, examples: list[Example]
) -> None:
    with torch.no_grad():
        model.get_output_embeddings().weight *= 30
    assert choose_layout("auto", model, examples[0]) == "prefix_shared"


def test_rounding_alone_does_not_keep_layouts_apart(
    model: Any, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    half = model.to(torch.bfloat16)
    before = {name: value.clone() for name, value in half.state_dict().items()}
    monkeypatch.setattr(layout_check, "AGREEMENT_HALF", 1e-9)
    assert choose_layout("auto", half, examples[0]) == "prefix_shared"
    assert all(torch.equal(value, before[name]) for name, value in half.state_dict().items())
    assert {value.dtype for value in half.parameters()} == {torch.bfloat16}


def test_auto_falls_back_where_they_do_not(
    model: Any, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    def causal_only(*args: Any, **kwargs: Any) -> Any:
        return forward(*args, **kwargs | {"attention_mask": None})

    forward = model.model.forward
    monkeypatch.setattr(model.model, "forward", causal_only)
    assert choose_layout("auto", model, examples[0]) == "padded"


@pytest.mark.parametrize(("setting", "layout"), [("on", "prefix_shared"), ("off", "padded")])
def test_settings_are_obeyed(
    model: Any, examples: list[Example], setting: str, layout: str
) -> None:
    assert choose_layout(setting, model, examples[0]) == layout


def test_both_layouts_sum_the_header(model: Any, tokenizer: Any) -> None:
    maker = RowEncoder(Encoder(tokenizer, 700, 1400), "pairs", {}, 2, with_header=True)
    with_header = [maker.encode_row(pair_row(number)) for number in range(3)]
    for example in with_header:
        chosen, rejected = (tokenizer.decode(ids) for ids in example.completions)
        header = tokenizer.decode(example.completions[0][: example.header])
        assert header in ("POTENTIAL_DISEASES:\n1. '", "POTENTIAL_DISEASES:\n1. ")
        assert chosen.startswith(header)
        assert rejected.startswith(header)
    plain = padded_logps(model, with_header, with_prompt=False)
    shared = prefix_shared_logps(model, with_header, with_prompt=False)
    torch.testing.assert_close(shared.header_sums, plain.header_sums, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(shared.counts, plain.counts)
    torch.testing.assert_close(shared.sums, plain.sums, rtol=1e-5, atol=1e-4)
    first = with_header[0]
    row = torch.tensor([[*first.prompt, *first.completions[0]]])
    logps = model(row).logits.log_softmax(-1)[0].detach()
    places = range(len(first.prompt), len(first.prompt) + first.header)
    by_hand = sum(float(logps[at - 1, row[0, at]]) for at in places)
    assert plain.header_sums is not None
    assert float(plain.header_sums[0]) == pytest.approx(by_hand, rel=1e-5)
