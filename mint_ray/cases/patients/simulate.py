"""Patients simulated from disease annotations.

A patient has each annotated phenotype with its annotated frequency. Some of these findings are
not recorded, some are recorded as a broader term, and some unrelated findings are added.
Findings that the patient lacks may be recorded as excluded if they are typical of the disease or
known to be absent in it.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mint_ray.cases.schema import SEXES, Case, blank_case
from mint_ray.common.seeds import stable_seed
from mint_ray.config.cases import SimulationConfig
from mint_ray.knowledge.annotations import Annotation, Annotations
from mint_ray.knowledge.ontology import Ontology

logger = logging.getLogger(__name__)

MAX_EXCLUDED = 6
"""Most excluded findings of one simulated patient."""

# Ages: share of the simulated patients, unit, youngest and oldest (inclusive).
_AGES: tuple[tuple[float, str, int, int], ...] = (
    (0.06, "D", 1, 27),
    (0.22, "M", 1, 23),
    (0.52, "Y", 2, 17),
    (0.20, "Y", 18, 70),
)


class _Profile(NamedTuple):
    """Findings of one disease as intervals of a uniform number u, one number per finding.

    u < `recorded`: present and recorded. `present` <= u < `excluded`: absent and recorded as
    excluded. Any other u: not recorded.
    """

    terms: tuple[str, ...]
    recorded: NDArray[np.float64]
    present: NDArray[np.float64]
    excluded: NDArray[np.float64]
    cumulative: NDArray[np.float64]  # of the frequencies: chooses a finding if all are lost


class PatientSimulator:
    """A sampler of patients for a list of labels: slow to build, tens of microseconds a draw.

    Args:
        annotations_by_label: the annotations of each label, in label order.
        ontology: source of the broader terms of imprecise records.
        config: rates of imprecision, missing and noise terms.

    Attributes:
        usable: (n_labels,) whether a label has a phenotype to draw; `draw` requires it.
    """

    def __init__(
        self,
        annotations_by_label: Sequence[Sequence[Annotation]],
        ontology: Ontology,
        config: SimulationConfig,
    ) -> None:
        self._ontology = ontology
        self._config = config
        self._profiles = [
            self._profiles_by_sex(annotations) for annotations in annotations_by_label
        ]
        self.usable: NDArray[np.bool_] = np.array(
            [profiles["unknown"] is not None for profiles in self._profiles], dtype=bool
        )
        self._broader: dict[str, tuple[str, ...]] = {}
        # Unrelated findings are drawn in proportion to the number of their annotations.
        counts = Counter(a.term for row in annotations_by_label for a in row if not a.excluded)
        self._background = tuple(sorted(counts))
        self._background_sums = np.array(list(accumulate(counts[t] for t in self._background)))

    def sexes(self, label: int) -> tuple[str, ...]:
        """Return the sexes in which the disease shows a finding."""
        return tuple(sex for sex in SEXES if self._profiles[label][sex] is not None)

    def draw(
        self, label: int, rng: np.random.Generator, sex: str = "unknown"
    ) -> tuple[list[str], list[str]]:
        """Draw one patient of a usable label: observed and excluded HP ids, both sorted.

        At least one observed term is a finding of the disease or a parent of a finding. An
        excluded term is never an observed term or an ancestor of one. With a known `sex`,
        findings annotated for the other sex do not occur.

        Raises:
            ValueError: the label is not usable.
        """
        profiles = self._profiles[label]
        profile = profiles[sex] or profiles["unknown"]
        if profile is None:
            raise ValueError(f"label {label} has no phenotype annotations; check `usable` first")
        uniform = rng.random(len(profile.terms))
        indices = (uniform < profile.recorded).nonzero()[0]
        if not indices.size:
            target = rng.random() * profile.cumulative[-1]
            indices = profile.cumulative.searchsorted(target, side="right")[None]
        noise = min(int(rng.poisson(self._config.noise_terms)), self._config.max_terms - 1)
        indices = _sample(indices, self._config.max_terms - noise, rng)
        observed = {self._imprecise(profile.terms[i], u) for i, u in _with_uniform(indices, rng)}
        observed.update(self._noise(noise, profile.terms, rng))
        absent = ((uniform >= profile.present) & (uniform < profile.excluded)).nonzero()[0]
        implied = frozenset[str]().union(*map(self._ontology.ancestors, observed))
        excluded = (profile.terms[i] for i in _sample(absent, MAX_EXCLUDED, rng).tolist())
        return sorted(observed), sorted(term for term in excluded if term not in implied)

    def _profiles_by_sex(self, annotations: Sequence[Annotation]) -> dict[str, _Profile | None]:
        everyone = self._profile(annotations, "unknown")
        if all(annotation.sex is None for annotation in annotations):
            return dict.fromkeys((*SEXES, "unknown"), everyone)
        return {sex: self._profile(annotations, sex) for sex in SEXES} | {"unknown": everyone}

    def _profile(self, annotations: Sequence[Annotation], sex: str) -> _Profile | None:
        fitting = [a for a in annotations if sex == "unknown" or a.sex in (None, sex)]
        frequency = np.array([0.0 if a.excluded else a.frequency for a in fitting])
        if not frequency.any():
            return None
        recording = 1.0 - self._config.missing
        # Typical findings are looked for more often: P(noted as absent | absent) = P(finding).
        noted = np.where(frequency == 0, 1.0, (1.0 - frequency) * frequency) * recording
        return _Profile(
            tuple(a.term for a in fitting),
            frequency * recording,
            frequency,
            frequency + noted,
            frequency.cumsum(),
        )

    def _imprecise(self, term: str, uniform: float) -> str:
        rate = self._config.imprecision
        if uniform >= rate:
            return term
        broader = self._broader.get(term)
        if broader is None:
            parents = self._ontology.parents(term)
            broader = tuple(p for p in parents if self._ontology.is_phenotype(p)) or (term,)
            self._broader[term] = broader
        return broader[int(uniform / rate * len(broader))]

    def _noise(
        self, count: int, disease_terms: tuple[str, ...], rng: np.random.Generator
    ) -> Iterable[str]:
        for _ in range(count):
            target = rng.random() * self._background_sums[-1]
            term = self._background[int(self._background_sums.searchsorted(target, side="right"))]
            if term not in disease_terms:
                yield term


def rank_diseases(annotations: Annotations, ontology: Ontology, namespace: str) -> list[str]:
    """Rank the diseases of a namespace that patients can be drawn for, best annotated first.

    Diseases are ordered by the number of findings expected in a patient: first of the findings
    that cite a publication, then of all findings; ties by id.
    """
    ranked = []
    for disease in annotations.diseases:
        if not disease.startswith(f"{namespace}:"):
            continue
        phenotypes = [a for a in annotations.of(disease) if ontology.is_phenotype(a.term)]
        expected = sum(a.frequency for a in phenotypes if not a.excluded)
        published = sum(
            a.frequency
            for a in phenotypes
            if not a.excluded and any(r.startswith("PMID:") for r in a.references)
        )
        if expected > 0:
            ranked.append((-published, -expected, disease))
    return [disease for _, _, disease in sorted(ranked)]


def simulate_cases(
    annotations: Annotations,
    ontology: Ontology,
    disease_ids: Iterable[str],
    config: SimulationConfig,
    seed: int,
) -> list[Case]:
    """Simulate `config.patients_per_disease` patients of each disease, without note or image.

    The patients of a disease depend only on `seed` and the disease, except for the unrelated
    findings, which are drawn from all of `disease_ids`. Diseases without usable annotations have
    no patients; their number is logged.
    """
    diseases = sorted(set(disease_ids))
    simulator = PatientSimulator([annotations.of(d) for d in diseases], ontology, config)
    cases = []
    for label, disease in enumerate(diseases):
        if not simulator.usable[label]:
            continue
        rng = np.random.default_rng(stable_seed(seed, "simulate", disease))
        for number in range(config.patients_per_disease):
            sexes = simulator.sexes(label)
            sex = sexes[int(rng.integers(len(sexes)))]
            observed, excluded = simulator.draw(label, rng, sex)
            case_id = f"simulated-{disease.replace(':', '-')}-{number:04d}"
            cases.append(
                _case(case_id, disease, annotations.diseases[disease], sex, observed, excluded, rng)
            )
    unusable = int((~simulator.usable).sum())
    if unusable:
        logger.warning("simulated patients: %d diseases have no annotations to draw from", unusable)
    logger.info("simulated patients: %d of %d diseases", len(cases), len(diseases) - unusable)
    return cases


def _case(
    case_id: str,
    label_id: str,
    label_name: str,
    sex: str,
    observed: list[str],
    excluded: list[str],
    rng: np.random.Generator,
) -> Case:
    return {
        **blank_case(case_id, "simulated"),
        "label_id": label_id,
        "label_name": label_name,
        "terms": observed,
        "excluded_terms": excluded,
        "sex": sex,
        "age": _draw_age(rng),
    }


def _draw_age(rng: np.random.Generator) -> str:
    """Draw an ISO 8601 age: mostly of children, as in published rare-disease cohorts."""
    shares = [share for share, *_ in _AGES]
    _, unit, youngest, oldest = _AGES[int(rng.choice(len(_AGES), p=shares))]
    return f"P{int(rng.integers(youngest, oldest + 1))}{unit}"


def _sample(items: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return items if items.size <= count else rng.permutation(items)[:count]


def _with_uniform(
    items: NDArray[np.int64], rng: np.random.Generator
) -> Iterable[tuple[int, float]]:
    return zip(items.tolist(), rng.random(items.size).tolist(), strict=True)
