"""The parts of the tissue teachers against what they should compute."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from mint_ray.teachers.clip.augment import make_views, shift_stains, turn
from mint_ray.teachers.clip.contrastive import supervised_contrastive
from mint_ray.teachers.clip.description_numbers import number_columns, numbers_in, usual_count
from mint_ray.teachers.clip.ensemble import choose_blend, deal_folds, even_blend, laplace_smoothing
from mint_ray.teachers.clip.logistic import balanced_weights, fit_linear


def test_the_probe_is_logistic_regression() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(3, size=90)
    features = (rng.normal(size=(90, 5)) + classes[:, None]).astype(np.float32)
    weights = rng.uniform(0.5, 1.5, 90)
    (found,) = fit_linear(features, (5,), classes, weights, 3, (2.0,))
    scaled = (features - features.mean(0)) / features.std(0) / np.sqrt(5)
    expected = LogisticRegression(C=2.0, tol=1e-8).fit(scaled, classes, sample_weight=weights)
    np.testing.assert_allclose(
        found.log_probs(features), expected.predict_log_proba(scaled), atol=5e-3
    )


def test_constant_and_missing_columns_do_no_harm() -> None:
    features = np.array([[1, 7, np.nan], [2, 7, np.nan], [3, 7, np.nan]], np.float32)
    (found,) = fit_linear(features, (3,), np.array([0, 0, 1]), np.ones(3), 3, (1.0,))
    assert np.isfinite(found.log_probs(np.array([[np.nan, 1e6, 5]], np.float32))).all()


def test_labels_and_groups_count_alike() -> None:
    classes, groups = np.array([0, 0, 0, 1]), np.array([5, 5, 6, 7])
    weights = balanced_weights(classes, groups)
    np.testing.assert_allclose(weights / weights[3], [0.25, 0.25, 0.5, 1])


def test_with_all_labels_different_the_loss_is_clips() -> None:
    torch.manual_seed(0)
    x, y = (torch.nn.functional.normalize(torch.randn(6, 4), dim=1) for _ in range(2))
    labels, own = np.arange(6), torch.arange(6)
    cross = torch.nn.functional.cross_entropy
    expected = (cross(5 * x @ y.T, own) + cross(5 * y @ x.T, own)) / 2
    found = supervised_contrastive(x, y, labels, labels, torch.tensor(5.0))
    torch.testing.assert_close(found, expected)


def test_texts_of_one_label_are_all_positives() -> None:
    x = torch.eye(2)
    same = supervised_contrastive(x, x, np.array([0, 0]), np.array([0, 0]), torch.tensor(1.0))
    swapped = supervised_contrastive(x, x[[1, 0]], np.zeros(2), np.zeros(2), torch.tensor(1.0))
    torch.testing.assert_close(same, swapped)


def test_the_blend_prefers_the_better_classifier() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(4, size=200)
    good = np.log(np.where(np.eye(4)[classes] > 0, 0.7, 0.1))
    wrong = good[rng.permutation(200)]
    blend = choose_blend({"good": good, "wrong": wrong}, classes, np.ones(200), 0)
    assert blend.weights["good"] > 0.8
    assert np.exp(blend.log_probs({"good": good, "wrong": wrong})).sum(1) == pytest.approx(1)


def test_an_overconfident_classifier_is_cooled() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(2, size=400)
    said = np.where(rng.random(400) < 0.7, classes, 1 - classes)
    sure = np.log(np.where(np.eye(2)[said] > 0, 0.999, 0.001))
    blend = choose_blend({"sure": sure}, classes, np.ones(400), 0)
    assert np.exp(blend.log_probs({"sure": sure})).max(1).mean() == pytest.approx(0.7, abs=0.06)


def test_a_classifier_that_never_erred_stays_in_bounds() -> None:
    classes = np.arange(20) % 2
    right = np.log(np.where(np.eye(2)[classes] > 0, 0.9, 0.1))
    blend = choose_blend({"right": right}, classes, np.ones(20), laplace_smoothing(20))
    sure = np.exp(blend.log_probs({"right": right})).max()
    assert sure == pytest.approx(1 - laplace_smoothing(20) / 2, abs=0.02)


def test_with_nothing_to_judge_all_count_alike() -> None:
    none = np.zeros((0, 3))
    blend = choose_blend({"a": none, "b": none}, np.zeros(0, np.int64), np.zeros(0), 0)
    assert blend == even_blend(["a", "b"])


def test_folds_keep_groups_whole_and_spread_labels() -> None:
    groups = np.repeat(np.arange(12), 3)
    classes = groups % 3
    folds = deal_folds(classes, groups, 4, seed=0)
    assert all(len(set(folds[groups == group])) == 1 for group in range(12))
    assert all(set(folds[classes == label]) == {0, 1, 2, 3} for label in range(3))


def test_numbers_are_read_where_the_sentence_has_its_usual_form() -> None:
    texts = ["area 31.5 um2 (8120/mm2)", "area 12 um2 (9/mm2).", "none", "-3, 4"]
    assert numbers_in(texts[0]) == [31.5, 8120.0]
    assert usual_count(texts) == 2
    columns = number_columns(texts, 2)
    assert columns.shape == (4, 4)
    assert np.isnan(columns[2]).all()
    np.testing.assert_allclose(columns[3], [-3, 4, -np.log(4), np.log(5)], rtol=1e-6)
    assert np.isfinite(number_columns(["9" * 400 + " 2"], 2)).all()


def test_views_start_with_the_image_and_repeat_with_the_seed() -> None:
    rng = np.random.default_rng(0)
    tile = Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8))
    first, again = (make_views(tile, 3, np.random.default_rng(5)) for _ in range(2))
    assert first[0] is tile
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[1].resize((8, 8)), first[2].resize((8, 8)))


def test_the_eight_turns_differ_and_unchanged_stains_change_nothing() -> None:
    tile = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5)
    assert len({turn(tile, number).tobytes() for number in range(8)}) == 8
    same = shift_stains(tile, np.ones(3, np.float32), np.zeros(3, np.float32))
    np.testing.assert_allclose(np.asarray(same, float), np.asarray(tile, float), atol=1)
