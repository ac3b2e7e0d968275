import pytest
import torch
from torch import nn

from mint_ray.students.logprobs import chunked_head as module
from mint_ray.students.logprobs.chunked_head import (
    mean_logps,
    select_logps,
    token_and_mean_logps,
    token_logps,
)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.CHUNK_LOGITS, "cpu", 3 * 11)


def make(bias: bool, frozen: bool, dtype: torch.dtype) -> tuple[nn.Linear, torch.Tensor]:
    torch.manual_seed(0)
    head = nn.Linear(5, 11, bias=bias, dtype=dtype).requires_grad_(not frozen)
    return head, torch.randn(8, 5, dtype=dtype, requires_grad=True)


TARGETS = torch.tensor([0, 10, 3, 3, 7, 1, 2, 9])


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_all_logits(frozen: bool, bias: bool) -> None:
    head, hidden = make(bias, frozen, torch.float32)
    weights = torch.linspace(-1, 1, 8)
    reference = select_logps(head(hidden), TARGETS)
    (reference * weights).sum().backward()
    expected, expected_head = hidden.grad.clone(), head.weight.grad
    hidden.grad, head.weight.grad = None, None
    found = token_logps(hidden, head, TARGETS)
    (found * weights).sum().backward()
    torch.testing.assert_close(found, reference)
    torch.testing.assert_close(hidden.grad, expected)
    if frozen:
        assert head.weight.grad is None
    else:
        torch.testing.assert_close(head.weight.grad, expected_head)


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_means_over_the_vocabulary_are_those_of_all_logits(frozen: bool, bias: bool) -> None:
    head, hidden = make(bias, frozen, torch.float64)
    weights = torch.linspace(-1, 1, 8).double()
    logits = head(hidden)
    reference = logits.log_softmax(-1).mean(-1)
    ((reference + select_logps(logits, TARGETS)) * weights).sum().backward()
    expected, expected_head = hidden.grad.clone(), head.weight.grad
    hidden.grad, head.weight.grad = None, None
    logps, means = token_and_mean_logps(hidden, head, TARGETS)
    ((logps + means) * weights).sum().backward()
    torch.testing.assert_close(logps, token_logps(hidden, head, TARGETS))
    torch.testing.assert_close(means, reference)
    torch.testing.assert_close(mean_logps(logits), reference)
    torch.testing.assert_close(hidden.grad, expected)
    if not frozen:
        torch.testing.assert_close(head.weight.grad, expected_head)


def test_gradient_is_the_derivative() -> None:
    head, hidden = make(True, True, torch.float64)
    assert torch.autograd.gradcheck(lambda x: token_logps(x, head, TARGETS), hidden)


def test_bfloat16_comes_out_as_float32() -> None:
    head, hidden = make(False, True, torch.bfloat16)
    found = token_logps(hidden, head, TARGETS)
    found.sum().backward()
    assert found.dtype == torch.float32
    assert hidden.grad.dtype == torch.bfloat16
    wide = select_logps(hidden.detach().float() @ head.weight.float().T, TARGETS)
    torch.testing.assert_close(found, wide, rtol=2e-2, atol=2e-2)


def test_a_sure_answer_keeps_its_gradient_in_bfloat16() -> None:
    head, hidden = make(False, True, torch.float32)
    with torch.no_grad():
        hidden *= 8
    targets = head(hidden).argmax(-1)
    wide = hidden.detach().bfloat16().float().requires_grad_()
    rounded = nn.Linear(5, 11, bias=False).requires_grad_(False)
    rounded.weight.copy_(head.weight.bfloat16().float())
    token_logps(wide, rounded, targets).sum().backward()
    half = wide.detach().bfloat16().requires_grad_()
    token_logps(half, rounded.bfloat16(), targets).sum().backward()
    sure = wide.grad.norm(dim=-1) < 0.05
    assert sure.any()
    error = (half.grad.float() - wide.grad).norm(dim=-1) / wide.grad.norm(dim=-1)
    assert float(error[sure].max()) < 0.1


def test_no_tensor_of_all_logits_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    original = torch.nn.functional.linear

    def watch(*args: torch.Tensor) -> torch.Tensor:
        out = original(*args)
        sizes.append(out.numel())
        return out

    head, hidden = make(False, True, torch.float32)
    monkeypatch.setattr(module.F, "linear", watch)
    token_logps(hidden, head, TARGETS).sum().backward()
    assert max(sizes) == 3 * 11
    assert len(sizes) == 3
