from collections import Counter

import pytest

from mint_ray.students.data.schedule import learning_rate, rows_of_step, steps_within, total_steps


def test_every_pair_is_seen_in_every_epoch() -> None:
    steps = total_steps(pairs=10, batch_size=4, epochs=2, max_steps=None)
    seen = [row for step in range(steps) for row in rows_of_step(10, 4, seed=1, step=step)]
    assert steps == 5
    assert sorted(seen[:10]) == list(range(10))
    assert Counter(seen) == Counter(dict.fromkeys(range(10), 2))
    assert seen[:10] != seen[10:]


def test_order_depends_on_the_seed_only() -> None:
    assert rows_of_step(100, 8, seed=1, step=3) == rows_of_step(100, 8, seed=1, step=3)
    assert rows_of_step(100, 8, seed=1, step=3) != rows_of_step(100, 8, seed=2, step=3)


def test_a_batch_may_span_epochs() -> None:
    assert len(rows_of_step(3, 8, seed=0, step=0)) == 8


def test_max_steps_wins() -> None:
    assert total_steps(pairs=100, batch_size=4, epochs=3, max_steps=7) == 7


def test_a_budget_of_tokens_is_not_exceeded() -> None:
    lengths = [10 * row + 1 for row in range(9)]
    read = [sum(lengths[row] for row in rows_of_step(9, 2, seed=3, step=step)) for step in range(8)]
    for wanted in range(1, 9):
        budget = sum(read[:wanted])
        assert steps_within(budget, lengths, 2, 3, steps=8) == wanted
        assert steps_within(budget - 1, lengths, 2, 3, steps=8) == max(1, wanted - 1)
    assert steps_within(10**9, lengths, 2, 3, steps=8) == 8


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_learning_rate_rises_then_falls(schedule: str) -> None:
    rates = [learning_rate(step, 20, 1.0, 0.2, schedule) for step in range(20)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[4] == pytest.approx(1.0)
    assert sorted(rates[4:], reverse=True) == rates[4:]
    assert (rates[-1] == 1.0) == (schedule == "constant")


def test_no_warm_up_starts_at_the_peak() -> None:
    assert learning_rate(0, 1, 0.5, 0.0, "cosine") == 0.5
