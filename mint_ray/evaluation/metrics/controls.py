"""Controls of an image student: what colour alone tells, and images that belong to other cases."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from mint_ray.common.arrays import Floats, Ints
from mint_ray.errors import DataError
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes
from mint_ray.evaluation.predictions import rank_scores

_SWAPS_PER_CASE = 20


def derange(case_ids: Sequence[str], groups: Sequence[str], seed: int) -> dict[str, str]:
    """To every case another one, each used once: of another group as far as groups allow.

    Only where one group holds more than half of the cases do some get a case of their own group,
    as few as possible. A single case has no other: the answer is empty.

    Args:
        case_ids: (n,) distinct.
        groups: (n,) group of each case.
    """
    n = len(case_ids)
    if n < 2:
        return {}
    rng = np.random.default_rng(seed)
    _, codes, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    # Groups side by side in random order: a turn by the largest group's size leaves them all.
    place = rng.permutation(len(sizes))[codes.ravel()]
    order = np.lexsort((rng.permutation(n), place))
    donors = np.roll(order, -min(int(sizes.max()), n // 2))
    group = codes.ravel()
    for a, b in rng.integers(0, n, size=(_SWAPS_PER_CASE * n, 2)):
        _swap_if_allowed(order, donors, group, int(a), int(b))
    return {
        case_ids[case]: case_ids[donor] for case, donor in zip(order.tolist(), donors, strict=True)
    }


def _swap_if_allowed(order: Ints, donors: Ints, group: Ints, a: int, b: int) -> None:
    """Swap two donors unless a case would get itself or one more its own group."""
    if order[a] == donors[b] or order[b] == donors[a]:
        return
    of_a, of_b, to_a, to_b = (group[x] for x in (order[a], order[b], donors[a], donors[b]))
    now, then = int(of_a == to_a) + int(of_b == to_b), int(of_a == to_b) + int(of_b == to_a)
    if then <= now:
        donors[a], donors[b] = donors[b], donors[a]


def expected_by_chance(outcome: Outcomes, cases: EvaluatedCases) -> float:
    """Top-1 of a system that gives its answers as often, to cases drawn blindly: Σ_c p_c·q_c."""
    n = cases.n_labels
    given = np.bincount(outcome.first[outcome.first >= 0], minlength=n) / len(cases)
    known = np.bincount(cases.known[cases.known >= 0], minlength=n) / len(cases)
    return float(given @ known)


def colour_features(image: Image.Image) -> Floats:
    """Mean and standard deviation of red, green and blue: (6,), between 0 and 1."""
    pixels = np.asarray(image, dtype=np.float64).reshape(-1, 3) / 255
    return np.concatenate([pixels.mean(axis=0), pixels.std(axis=0)])


def mean_colour_predictions(
    train: tuple[Floats, Sequence[str]],
    tested: tuple[Floats, Sequence[str], Sequence[str | None]],
    names: Mapping[str, str],
    top_k: int,
) -> pa.Table:
    """Predictions of a logistic regression on `colour_features`, fitted to training images alone.

    Args:
        train: features (n, 6) and label ids (n,).
        tested: features (m, 6), case ids and known label ids (m,); rows of NaN get no answer.
        names: label id to the name to answer with; no other label is answered.

    A known answer without a training image has no row, hence is a miss.

    Raises:
        DataError: there is no training image.
    """
    known = np.array([label in names for label in train[1]], dtype=np.bool_)
    features, labels = train[0][known], np.asarray(train[1], dtype=object)[known]
    if not len(labels):
        raise DataError("the mean-colour control needs a usable training image, found none")
    classes, log_probabilities = _fit_and_score(features, labels.astype(str), tested[0])
    index = {label: place for place, label in enumerate(classes)}
    return rank_scores(
        "mean_colour",
        tested[1],
        log_probabilities,
        classes,
        [names[label] for label in classes],
        [None if label is None else index.get(label) for label in tested[2]],
        top_k,
    )


def _fit_and_score(
    features: Floats, labels: NDArray[np.str_], tested: Floats
) -> tuple[list[str], Floats]:
    """The training labels, and log probabilities (m, n_labels) of them; NaN rows stay NaN."""
    from sklearn.linear_model import LogisticRegression  # late: slow to import
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes = sorted(set(labels.tolist()))
    scores = np.full((len(tested), len(classes)), np.nan)
    usable = ~np.isnan(tested).any(axis=1)
    if len(classes) == 1:
        scores[usable] = 0.0
    elif usable.any():
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        scores[usable] = model.fit(features, labels).predict_log_proba(tested[usable])
    return classes, scores
