"""Profiles pooled with training patients, and how findings are matched to them."""

import numpy as np
import pytest

from mint_ray.knowledge.catalogue import build_catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.fusion.label_profiles import Profile, ProfileMatch, pooled_profiles
from mint_ray.teachers.term_encoder import TermEncoder
from tests.teachers.conftest import COMMON, FINDINGS, invented_annotations

NEW = "HP:0001250"  # seizure, annotated to none of the invented diseases
N_FINDINGS = 1


def profiles_with(*patients: dict[str, object]) -> list[Profile]:
    annotations = invented_annotations()
    catalogue = build_catalogue(annotations, {}, "OMIM", "all")
    empty = {"label_id": "OMIM:900000", "terms": [], "face_terms": [], "excluded_terms": []}
    return pooled_profiles(catalogue, annotations, [empty | patient for patient in patients])


def frequency(profile: Profile, term: str) -> float:
    return next(a.frequency for a in profile if a.term == term)


def test_patients_count_beside_the_annotations() -> None:
    first, second = FINDINGS[0]
    profiles = profiles_with(
        {"terms": [NEW], "face_terms": [first], "excluded_terms": [second]}, {"terms": [NEW]}
    )
    assert frequency(profiles[0], NEW) == pytest.approx(1.0)
    assert frequency(profiles[0], first) == pytest.approx((2 * 0.9 + 1) / (2 + 1 + 0.3))
    assert frequency(profiles[0], second) == pytest.approx((2 * 0.9 + 0) / (2 + 1 + 0.3))


def test_other_labels_keep_their_annotations() -> None:
    assert profiles_with({"terms": [NEW]})[1:] == profiles_with()[1:]


def test_patients_outside_the_catalogue_change_nothing() -> None:
    assert profiles_with({"label_id": "OMIM:1"}, {"label_id": None}) == profiles_with()


@pytest.fixture(scope="module")
def encoder() -> TermEncoder:
    return TermEncoder(load_ontology())


@pytest.fixture(scope="module")
def match(encoder: TermEncoder) -> ProfileMatch:
    closures = [encoder.closure([FINDINGS[0][0]])]
    return ProfileMatch.of_profiles(profiles_with(), encoder, len(load_ontology().ids), closures)


def scores(
    match: ProfileMatch,
    encoder: TermEncoder,
    observed: tuple[str, ...] = (),
    excluded: tuple[str, ...] = (),
    seen: float = 0.0,
) -> np.ndarray:
    findings = np.full((1, N_FINDINGS), seen, dtype=np.float32)
    return match.score([encoder.closure(observed)], [encoder.plain(excluded)], findings)[0].numpy()


@pytest.mark.parametrize("disease", range(len(FINDINGS)))
def test_typical_findings_match_their_disease(
    match: ProfileMatch, encoder: TermEncoder, disease: int
) -> None:
    assert scores(match, encoder, observed=FINDINGS[disease]).argmax() == disease


def test_an_excluded_finding_counts_against_its_disease(
    match: ProfileMatch, encoder: TermEncoder
) -> None:
    change = scores(match, encoder, excluded=FINDINGS[0][:1])
    assert change[0] < 0
    assert change[1:].tolist() == [0] * (len(FINDINGS) - 1)


def test_a_seen_finding_counts_as_a_told_one(match: ProfileMatch, encoder: TermEncoder) -> None:
    told = scores(match, encoder, observed=FINDINGS[0][:1])
    np.testing.assert_allclose(scores(match, encoder, seen=1.0), told, rtol=1e-5)
    np.testing.assert_allclose(scores(match, encoder, seen=0.5), told / 2, rtol=1e-5)


def test_what_all_diseases_share_tells_none_apart(
    match: ProfileMatch, encoder: TermEncoder
) -> None:
    assert np.ptp(scores(match, encoder, observed=(COMMON,))) < 0.5


def test_a_match_survives_being_saved(match: ProfileMatch, encoder: TermEncoder) -> None:
    closures = [encoder.closure([FINDINGS[0][0]])]
    again = ProfileMatch.of_tensors(match.tensors(), len(load_ontology().ids), closures)
    saved, loaded = (scores(m, encoder, FINDINGS[5], FINDINGS[0], 0.4) for m in (match, again))
    np.testing.assert_array_equal(saved, loaded)
