"""Notes made ready for students and teachers: answers masked, findings read."""

from collections import Counter
from collections.abc import Iterable

from mint_ray.cases.patients.clinical_notes.masking import mask_answer
from mint_ray.cases.schema import Case
from mint_ray.knowledge.notes.findings import load_reader, present_and_excluded
from mint_ray.knowledge.ontology import Ontology


def prepare_note(
    case: Case, forbidden: Iterable[str], ontology: Ontology, counts: Counter[str]
) -> Case:
    """Return a copy whose note has its answer masked and whose terms are read from that note.

    Applying it twice changes nothing.

    Args:
        case: a case with a note; not changed.
        forbidden: strings that reveal the answer.
        ontology: ontology of the findings.
        counts: gets the counts of `mask_answer` and `notes_without_findings` (nothing was read as
            present: a teacher that knows findings only has nothing to rank by).
    """
    reader = load_reader(ontology)
    masked = mask_answer(case["note"], forbidden, reader.names_finding)
    present, excluded = present_and_excluded(reader.read(masked.text))
    counts.update(masked.counts)
    counts["notes_without_findings"] += not present
    return {**case, "note": masked.text, "terms": present, "excluded_terms": excluded}
