"""Controls of an image student: a classifier of mean colours, and shuffled images."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from mint_ray.common.arrays import Floats, Ints
from mint_ray.errors import DataError
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes
from mint_ray.evaluation.predictions import rank_scores

_SWAPS_PER_CASE = 20  # random swaps after the first assignment of donors


def derange(case_ids: Sequence[str], groups: Sequence[str], seed: int) -> dict[str, str]:
    """Assign to every case another case as its donor; each case is a donor once.

    The donor is of another group. Only where one group has more than half of the cases, some
    cases get a donor of their own group, as few as possible.

    Args:
        case_ids: (n,) distinct.
        groups: (n,) group of each case.
        seed: of the assignment.

    Returns:
        Case id to the id of its donor; empty for fewer than two cases.
    """
    n = len(case_ids)
    if n < 2:
        return {}
    rng = np.random.default_rng(seed)
    _, codes, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    # Sort the cases by groups, in random order. A rotation by the size of the largest group then
    # moves every case out of its group.
    group_order = rng.permutation(len(sizes))[codes.ravel()]
    order = np.lexsort((rng.permutation(n), group_order))
    donors = np.roll(order, -min(int(sizes.max()), n // 2))
    group = codes.ravel()
    for a, b in rng.integers(0, n, size=(_SWAPS_PER_CASE * n, 2)):
        _swap_if_allowed(order, donors, group, int(a), int(b))
    return {
        case_ids[case]: case_ids[donor] for case, donor in zip(order.tolist(), donors, strict=True)
    }


def _swap_if_allowed(order: Ints, donors: Ints, group: Ints, a: int, b: int) -> None:
    """Swap the donors at two positions, in place.

    They stay where a case would become its own donor, or where more cases than before would have
    a donor of their own group.
    """
    if order[a] == donors[b] or order[b] == donors[a]:
        return
    group_a, group_b = group[order[a]], group[order[b]]
    donor_group_a, donor_group_b = group[donors[a]], group[donors[b]]
    same_before = int(group_a == donor_group_a) + int(group_b == donor_group_b)
    same_after = int(group_a == donor_group_b) + int(group_b == donor_group_a)
    if same_after <= same_before:
        donors[a], donors[b] = donors[b], donors[a]


def expected_by_chance(outcome: Outcomes, cases: EvaluatedCases) -> float:
    """Return the top-1 accuracy that the system's answers would have on randomly drawn cases.

    It is Σ_c p_c·q_c, with the share p_c of cases that the system answers with c, and the share
    q_c of cases whose known answer is c.
    """
    n = cases.n_labels
    answered_share = np.bincount(outcome.first[outcome.first >= 0], minlength=n) / len(cases)
    known_share = np.bincount(cases.known[cases.known >= 0], minlength=n) / len(cases)
    return float(answered_share @ known_share)


def colour_features(image: Image.Image) -> Floats:
    """Return mean and standard deviation of red, green and blue: (6,), between 0 and 1."""
    pixels = np.asarray(image, dtype=np.float64).reshape(-1, 3) / 255
    return np.concatenate([pixels.mean(axis=0), pixels.std(axis=0)])


def mean_colour_predictions(
    train: tuple[Floats, Sequence[str]],
    tested: tuple[Floats, Sequence[str], Sequence[str | None]],
    names: Mapping[str, str],
    top_k: int,
) -> pa.Table:
    """Return the predictions of a logistic regression on `colour_features`.

    It is fitted to training images alone. A known answer without a training image has no row, and
    so counts as a miss.

    Args:
        train: features (n, 6) and label ids (n,).
        tested: features (m, 6), case ids and known label ids (m,); rows of NaN get no answer.
        names: label id to the name to answer with; other labels are not used.
        top_k: number of labels to list.

    Raises:
        DataError: there is no training image.
    """
    known = np.array([label in names for label in train[1]], dtype=np.bool_)
    features, labels = train[0][known], np.asarray(train[1], dtype=object)[known]
    if not len(labels):
        raise DataError(
            "the mean-colour control needs a usable training image, found none; add training "
            "images, or set evaluation.controls=false"
        )
    classes, log_probabilities = _fit_and_score(features, labels.astype(str), tested[0])
    index = {label: position for position, label in enumerate(classes)}
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
    """Return the training labels and their log probabilities (m, n_labels); NaN rows stay NaN."""
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
