"""McNemar's exact test of two systems on the same cases."""

from dataclasses import dataclass

from scipy.special import bdtr

from mint_ray.common.arrays import Bools


@dataclass(frozen=True)
class McNemar:
    """Cases that one of two systems alone gets right, and the p-value of their difference."""

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: Bools, second: Bools) -> McNemar:
    """Test whether two systems are right equally often, by the cases that they disagree on.

    Under the null hypothesis each of the b + c disagreements is as likely to favour either, so
    that p = min(1, 2 · P(X ≤ min(b, c))) with X ~ Binomial(b + c, ½). Cases count as independent;
    where they come in groups, the bootstrap over groups is the cautious answer. Source: McNemar,
    Psychometrika 12 (1947), in its exact form.

    Args:
        first: (n,) whether the first system is right.
        second: (n,) whether the second one is.
    """
    b, c = int((first & ~second).sum()), int((second & ~first).sum())
    return McNemar(b, c, min(1.0, 2.0 * float(bdtr(min(b, c), b + c, 0.5))))
