import torch

from mint_ray.students.engines.master_weights import MasterWeights


def test_small_updates_of_half_precision_are_not_lost() -> None:
    parameter = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    masters = MasterWeights([parameter])
    optimizer = torch.optim.SGD(masters.weights, lr=1e-3)
    for _ in range(20):  # each is less than the last bit of 1 in bfloat16
        parameter.sum().backward()
        masters.take_gradients()
        optimizer.step()
        optimizer.zero_grad()
        masters.give_weights()
    assert parameter.tolist() == torch.full((3,), 0.98).bfloat16().tolist()


def test_gradients_of_micro_batches_add_up_in_float32() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))
    masters = MasterWeights([parameter])
    for scale in (1.0, *[2.0**-9] * 4):  # in bfloat16 the later ones would vanish
        (scale * parameter).sum().backward()
        masters.take_gradients()
    assert parameter.grad is None
    gradient = masters.weights[0].grad
    assert gradient is not None
    assert gradient.item() == 1 + 4 * 2.0**-9


def test_float32_is_its_own_master() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    masters = MasterWeights([parameter])
    assert masters.weights[0] is parameter
    assert masters.state() == []


def test_a_state_is_restored_to_weights_and_parameters() -> None:
    first = torch.nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.bfloat16))
    masters = MasterWeights([first])
    masters.weights[0].add_(1e-4)
    other = torch.nn.Parameter(torch.zeros(2, dtype=torch.bfloat16))
    restored = MasterWeights([other])
    restored.load_state(masters.state())
    assert torch.equal(restored.weights[0], masters.weights[0])
    assert torch.equal(other, first)
