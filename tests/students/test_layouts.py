from typing import Any

import pytest
import torch

from mint_ray.students.encoding import EncodedPair, Encoder
from mint_ray.students.layouts import choose_layout, plain_logps, shared_logps
from tests.students.conftest import pair_row


@pytest.fixture
def pairs(tokenizer: Any) -> list[EncodedPair]:
    encoder = Encoder(tokenizer, 700, 1400)
    return [encoder.pair(pair_row(number)) for number in range(3)]


def test_both_layouts_agree(model: Any, pairs: list[EncodedPair]) -> None:
    plain = plain_logps(model, pairs, with_prompt=True)
    shared = shared_logps(model, pairs, with_prompt=True)
    for ours, reference in zip(shared, plain, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-4, check_dtype=False)


def test_plain_equals_a_hand_count(model: Any, pairs: list[EncodedPair]) -> None:
    pair = pairs[0]
    row = torch.tensor([[*pair.prompt, *pair.completions[1]]])
    logps = model(row).logits.log_softmax(-1)[0]
    start = len(pair.prompt)
    expected = sum(float(logps[at - 1, row[0, at]].detach()) for at in range(start, row.shape[1]))
    result = plain_logps(model, pairs, with_prompt=False)
    assert result.sums[0, 1].item() == pytest.approx(expected, rel=1e-5)
    assert result.counts[0].tolist() == [len(answer) for answer in pair.completions]
    assert float(result.prompt_counts.sum()) == 0


def test_one_and_three_completions(model: Any, pairs: list[EncodedPair]) -> None:
    first, second = pairs[0].completions
    for completions in ((first,), (first, second, first)):
        many = [EncodedPair("many", pairs[0].prompt, completions, shortened=False)]
        plain = plain_logps(model, many, with_prompt=False)
        shared = shared_logps(model, many, with_prompt=False)
        torch.testing.assert_close(shared.sums, plain.sums, rtol=1e-5, atol=1e-4)


def test_completions_do_not_see_one_another(model: Any, pairs: list[EncodedPair]) -> None:
    other = EncodedPair(
        "x", pairs[0].prompt, (pairs[0].completions[0][::-1], pairs[0].completions[1]), False
    )
    before = shared_logps(model, [pairs[0]], with_prompt=False).sums[0, 1]
    after = shared_logps(model, [other], with_prompt=False).sums[0, 1]
    assert float(before) == pytest.approx(float(after), abs=1e-4)


def test_auto_shares_where_the_layouts_agree(model: Any, pairs: list[EncodedPair]) -> None:
    assert choose_layout("auto", model, pairs[0]) == "shared"


def test_auto_falls_back_where_they_do_not(
    model: Any, pairs: list[EncodedPair], monkeypatch: pytest.MonkeyPatch
) -> None:
    def causal_only(*args: Any, **kwargs: Any) -> Any:
        return forward(*args, **kwargs | {"attention_mask": None})

    forward = model.model.forward
    monkeypatch.setattr(model.model, "forward", causal_only)
    assert choose_layout("auto", model, pairs[0]) == "plain"


@pytest.mark.parametrize(("setting", "layout"), [("on", "shared"), ("off", "plain")])
def test_settings_are_obeyed(
    model: Any, pairs: list[EncodedPair], setting: str, layout: str
) -> None:
    assert choose_layout(setting, model, pairs[0]) == layout
