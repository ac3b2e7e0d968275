"""Patients simulated from disease annotations.

A patient has each annotated phenotype with its annotated frequency. Some of these findings are
not recorded, some are recorded as a broader term, and some unrelated findings are added.
Findings that the patient lacks may be recorded as excluded if they are typical of the disease or
known to be absent in it. Where there are published patients, the numbers of observed and excluded
findings and the share of unknown sex are theirs.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from mint_ray.cases.patients.record_counts import RecordCount, RecordCounts
from mint_ray.cases.schema import SEXES, SIMULATED, Case, blank_case
from mint_ray.common.arrays import Bools, Floats, Ints
from mint_ray.common.seeds import stable_seed
from mint_ray.config.cases import SimulationConfig
from mint_ray.knowledge.annotations import Annotation, Annotations
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import Ontology

logger = logging.getLogger(__name__)

MAX_EXCLUDED = 6
"""Most excluded findings of one simulated patient whose number of findings is not given."""
MOST_OFTEN = 2.0
"""Factor on the annotated frequencies up to which a long record has more of the disease."""
_FILL_DRAWS = 8  # of which the first gives nearly all, save where the background is tiny

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
    recorded: Floats
    present: Floats
    excluded: Floats
    cumulative: Floats  # of the frequencies: chooses a finding if all are lost


class PatientSimulator:
    """A sampler of patients for a list of labels: slow to build, tens of microseconds a draw.

    Args:
        annotations_by_label: the annotations of each label, in label order.
        ontology: source of the broader terms of imprecise records.
        config: rates of imprecision, missing and noise terms.
        counts: numbers of findings in the records of published patients. None to let them follow
            from the rates, `max_terms` and `MAX_EXCLUDED`.

    Attributes:
        usable: (n_labels,) whether a label has a phenotype to draw; `draw` requires it.
    """

    def __init__(
        self,
        annotations_by_label: Sequence[Sequence[Annotation]],
        ontology: Ontology,
        config: SimulationConfig,
        counts: RecordCounts | None = None,
    ) -> None:
        self._ontology = ontology
        self._config = config
        self._counts = counts
        self._profiles = [
            self._profiles_by_sex(annotations) for annotations in annotations_by_label
        ]
        self.usable: Bools = np.array(
            [profiles["unknown"] is not None for profiles in self._profiles], dtype=bool
        )
        self._broader: dict[str, tuple[str, ...]] = {}
        # Unrelated findings are drawn in proportion to the number of their annotations.
        terms = Counter(a.term for row in annotations_by_label for a in row if not a.excluded)
        self._background = tuple(sorted(terms))
        self._background_sums = np.array(list(accumulate(terms[t] for t in self._background)))

    def sexes(self, label: int) -> tuple[str, ...]:
        """Return the sexes in which the disease shows a finding."""
        return tuple(sex for sex in SEXES if self._profiles[label][sex] is not None)

    def draw_patient(
        self, label: int, rng: np.random.Generator
    ) -> tuple[list[str], list[str], str]:
        """Draw one patient of a usable label: observed HP ids, excluded HP ids and sex.

        As `draw`, but with a sex in which the disease shows a finding, and with numbers of findings
        and a sex that may be unknown as published patients have them, where these are given.

        Raises:
            ValueError: the label is not usable.
        """
        sexes = self.sexes(label) or ("unknown",)
        sex = sexes[int(rng.integers(len(sexes)))]
        if self._counts is None:
            return (*self.draw(label, rng, sex), sex)
        count = self._counts.draw(rng)
        observed, excluded = self._draw_counted(self._profile_of(label, sex), count, rng)
        return observed, excluded, "unknown" if count.sex_unknown else sex

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
        profile = self._profile_of(label, sex)
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

    def _draw_counted(
        self, profile: _Profile, count: RecordCount, rng: np.random.Generator
    ) -> tuple[list[str], list[str]]:
        """Draw as many findings as a published record has, the likely ones of the disease first.

        Unrelated findings fill up what the disease does not give: of the terms of published
        patients, about half are neither annotated nor near an annotation once their own
        publications are left out.
        """
        uniform = rng.random(len(profile.terms))
        with np.errstate(divide="ignore", invalid="ignore"):
            rarity = np.where(profile.present > 0, uniform / profile.present, np.inf)
        noise = min(int(rng.poisson(self._config.noise_terms)), count.observed - 1)
        likely = np.argsort(rarity)[: max(1, count.observed - noise)]
        chosen = likely[: max(1, int((rarity[likely] < MOST_OFTEN).sum()))]
        observed = {self._imprecise(profile.terms[i], u) for i, u in _with_uniform(chosen, rng)}
        self._fill(observed, count.observed, frozenset(profile.terms), rng)
        implied = frozenset[str]().union(*map(self._ontology.ancestors, observed))
        noted = profile.excluded - profile.present
        noted[chosen] = 0.0
        with np.errstate(divide="ignore"):
            order = np.argsort(rng.random(len(noted)) / noted)[: int((noted > 0).sum())]
        typical = (profile.terms[i] for i in order.tolist())
        excluded = set([term for term in typical if term not in implied][: count.excluded])
        self._fill(excluded, count.excluded, implied, rng)
        return sorted(observed), sorted(excluded)

    def _fill(
        self, terms: set[str], count: int, avoided: frozenset[str], rng: np.random.Generator
    ) -> None:
        """Add unrelated findings until there are `count`, or as many as a few draws give."""
        for _ in range(_FILL_DRAWS):
            if len(terms) >= count:
                return
            targets = rng.random(count - len(terms)) * self._background_sums[-1]
            places = self._background_sums.searchsorted(targets, side="right").tolist()
            terms.update({self._background[place] for place in places} - avoided)

    def _profile_of(self, label: int, sex: str) -> _Profile:
        profiles = self._profiles[label]
        profile = profiles[sex] or profiles["unknown"]
        if profile is None:
            raise ValueError(f"label {label} has no phenotype annotations; check `usable` first")
        return profile

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
    names = [annotations.diseases.get(disease, disease) for disease in diseases]
    count = config.patients_per_disease
    return _draw_cases(simulator, list(zip(diseases, names, strict=True)), count, seed)


def simulate_training_cases(
    catalogue: Catalogue,
    annotations: Annotations,
    ontology: Ontology,
    config: SimulationConfig,
    published: Iterable[Case],
    per_disease: int,
    seed: int,
) -> list[Case]:
    """Simulate training cases of every label of a catalogue that has annotations.

    `seen` is false unless a published training case has the label: a simulated patient is none.

    Args:
        catalogue: the labels.
        annotations: must lack those that are known only from evaluated publications.
        ontology: of the terms.
        config: rates of imprecision and noise.
        published: all cases that were read, with `split` and `seen`. The training cases among them
            give the numbers of findings.
        per_disease: number of patients of each label.
        seed: of the draws.
    """
    train = [case for case in published if case["split"] == "train"]
    shown = {catalogue.index_of(case["label_id"] or "") for case in train}
    simulator = PatientSimulator(
        [annotations.of(*label.ids) for label in catalogue.labels],
        ontology,
        config,
        RecordCounts.of(train),
    )
    drawn = _draw_cases(
        simulator, [(label.label_id, label.name) for label in catalogue.labels], per_disease, seed
    )
    return [
        {
            **case,
            "split": "train",
            "seen": catalogue.index_of(case["label_id"] or "") in shown,
        }
        for case in drawn
    ]


def _draw_cases(
    simulator: PatientSimulator, labels: Sequence[tuple[str, str]], per_label: int, seed: int
) -> list[Case]:
    """Draw patients of each label (id, name) that has something to draw."""
    cases = []
    for index, (label_id, name) in enumerate(labels):
        if not simulator.usable[index]:
            continue
        rng = np.random.default_rng(stable_seed(seed, "simulate", label_id))
        for number in range(per_label):
            observed, excluded, sex = simulator.draw_patient(index, rng)
            case_id = f"simulated-{label_id.replace(':', '-')}-{number:04d}"
            cases.append(_case(case_id, label_id, name, sex, observed, excluded, rng))
    unusable = int((~simulator.usable).sum())
    if unusable:
        logger.warning("simulated patients: %d diseases have no annotations to draw from", unusable)
    logger.info("simulated patients: %d of %d diseases", len(cases), len(labels) - unusable)
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
        **blank_case(case_id, SIMULATED),
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


def _sample(items: Ints, count: int, rng: np.random.Generator) -> Ints:
    return items if items.size <= count else rng.permutation(items)[:count]


def _with_uniform(items: Ints, rng: np.random.Generator) -> Iterable[tuple[int, float]]:
    return zip(items.tolist(), rng.random(items.size).tolist(), strict=True)
