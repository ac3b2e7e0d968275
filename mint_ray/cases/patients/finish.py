"""Completion of patient cases: findings per modality, faces, notes, and the check for leaks."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mint_ray.cases.patients.answer_leak import find_answer
from mint_ray.cases.patients.clinical_notes.language import is_not_english
from mint_ray.cases.patients.clinical_notes.prepare import prepare_note
from mint_ray.cases.patients.laboratory.report import withhold_laboratory
from mint_ray.cases.patients.notes import write_note
from mint_ray.cases.schema import Case
from mint_ray.cases.table import has_words
from mint_ray.common.seeds import stable_seed
from mint_ray.config.cases import CasesConfig
from mint_ray.images.faces.render import render_face, rendered_terms
from mint_ray.knowledge.ontology import Ontology

ANSWER_IN_NOTE = "answer_in_note"
"""Reason for a rejection: the note reveals the answer of its own case."""

_WITHOUT_IMAGE = ("text_only", "laboratory_in_report")  # values of `modalities`
_WORDINGS = 8  # wordings tried before a case whose note reveals the answer is rejected


class Finished(NamedTuple):
    """Finished cases, counts of what was done, and rows of `REJECTED_SCHEMA`.

    Counts: `drawn_faces`, `written_notes`, `unknown_terms` (HP ids that the ontology does not
    have, removed), `findings_naming_the_answer` (kept out of written notes and reports),
    `written_reports`, `notes_not_in_english` (given notes, of which denials are not read), those of
    `prepare_note` for clinical notes, and one per rejection reason.
    """

    cases: list[Case]
    counts: Counter[str]
    rejected: list[dict[str, Any]]


def finish_cases(
    cases: Sequence[Case],
    forbidden: Mapping[str, Iterable[str]],
    ontology: Ontology,
    config: CasesConfig,
    seed: int,
) -> Finished:
    """Split findings between the modalities, draw missing faces, write missing notes and reports.

    Each case depends only on itself and `seed`, not on its batch. An existing note is kept, and
    so is an existing image unless `modalities` has none. A case with an existing note gets no
    laboratory report, since the note would go on stating the findings. In a clinical note
    (`config.source` is `notes`) the answer is masked, and findings are read from it. Applying it
    twice changes nothing.

    Args:
        cases: any batch; not changed.
        forbidden: case id -> strings that its note must not contain (names and synonyms of its
            disease, gene symbols, variants, publications). A finding whose label contains one
            is not written into the note; it stays in `terms`, which only the teacher reads. A
            case whose note still contains one is rejected.
        ontology: resolves and names the terms.
        config: `modalities` and the limits of notes.
        seed: seed of the faces and of the wording.
    """
    counts: Counter[str] = Counter()
    finished, rejected = [], []
    for case in cases:
        done = _finish(
            case, list(forbidden.get(case["case_id"], ())), ontology, config, seed, counts
        )
        if done is not None:
            finished.append(done)
            continue
        counts[ANSWER_IN_NOTE] += 1
        rejected.append(
            {"case_id": case["case_id"], "source": case["source"], "reason": ANSWER_IN_NOTE}
        )
    return Finished(finished, +counts, rejected)


def _finish(
    case: Case,
    forbidden: list[str],
    ontology: Ontology,
    config: CasesConfig,
    seed: int,
    counts: Counter[str],
) -> Case | None:
    if config.source == "notes":
        case = prepare_note(case, forbidden, ontology, counts)
        if not has_words(case["note"]):
            return None  # it was nothing but its answer
    done = _with_modalities(case, ontology, config, counts)
    if config.modalities not in _WITHOUT_IMAGE and done["image"] is None:
        face_seed = stable_seed(seed, "face", case["case_id"])
        done["image"] = render_face(done["face_terms"], ontology, face_seed, done["sex"])
        counts["drawn_faces"] += 1
    if done["note"].strip():
        counts["notes_not_in_english"] += is_not_english(done["note"])
        return done if find_answer(done["note"], forbidden) is None else None
    if config.modalities == "laboratory_in_report":
        withhold_laboratory(done, forbidden, ontology, counts)
    note = _safe_note(done, forbidden, ontology, config, seed, counts)
    if note is None:
        return None
    counts["written_notes"] += 1
    done["note"] = note
    return done


def _with_modalities(
    case: Case, ontology: Ontology, config: CasesConfig, counts: Counter[str]
) -> Case:
    """Return a copy with its findings divided between text and image by `config.modalities`."""
    done = case.copy()
    done["excluded_terms"] = _current(case["excluded_terms"], ontology, counts)
    face_terms = _current(case["face_terms"], ontology, counts)
    observed = list(dict.fromkeys([*_current(case["terms"], ontology, counts), *face_terms]))
    shown = set(rendered_terms(observed, ontology)) | set(face_terms)
    done["face_terms"] = [term for term in observed if term in shown]
    if config.modalities == "face_only_in_image":
        observed = [term for term in observed if term not in shown]
    elif config.modalities in _WITHOUT_IMAGE:
        done["face_terms"], done["image"] = [], None
    done["terms"] = observed
    return done


def _current(terms: Iterable[str], ontology: Ontology, counts: Counter[str]) -> list[str]:
    """Return current ids, each once, in order; unknown ids are counted and dropped."""
    resolved = [ontology.resolve(term) for term in terms]
    counts.update("unknown_terms" for term in resolved if term is None)
    return list(dict.fromkeys(term for term in resolved if term is not None))


def _safe_note(
    case: Case,
    forbidden: list[str],
    ontology: Ontology,
    config: CasesConfig,
    seed: int,
    counts: Counter[str],
) -> str | None:
    """Write a note without any forbidden string; return None if every wording has one.

    A forbidden name can also arise where two findings meet in a sentence. Another wording
    separates them.
    """
    stated = case.copy()
    labels = {t: ontology.name(t) for t in (*case["terms"], *case["excluded_terms"])}
    if find_answer("\n".join(labels.values()), forbidden) is not None:
        revealing = {term for term, label in labels.items() if find_answer(label, forbidden)}
        stated["terms"] = [term for term in case["terms"] if term not in revealing]
        stated["excluded_terms"] = [t for t in case["excluded_terms"] if t not in revealing]
        counts["findings_naming_the_answer"] += len(revealing)
    for wording in range(_WORDINGS):
        note = write_note(stated, ontology, config, seed + wording)
        if find_answer(note, forbidden) is None:
            return note
    return None
