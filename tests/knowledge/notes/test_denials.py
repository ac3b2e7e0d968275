"""What a negation denies in invented lines: what stands before it, behind it, or one thing only."""

import pytest

from mint_ray.knowledge.notes.findings import FindingReader, present_and_excluded
from mint_ray.knowledge.ontology import load_ontology

ONTOLOGY = load_ontology()


def check(reader: FindingReader, note: str, present: str, excluded: str) -> None:
    found = present_and_excluded(reader.read(note))
    assert [", ".join(ONTOLOGY.name(term) for term in terms) for terms in found] == [
        present,
        excluded,
    ]


@pytest.mark.parametrize(
    ("note", "present"),
    [
        ("Speech absent, seizures, hypotonia.", "Seizure, Hypotonia"),
        ("Reflexes absent, ataxia.", "Ataxia"),
        ("Eye contact absent, seizures and ataxia", "Seizure, Ataxia"),
        ("Gag reflex absent with dysphagia", "Dysphagia"),
        ("Consanguinity denied, seizures", "Seizure"),
        ("Consanguinity was denied, seizures", "Seizure"),
        ("Metabolic disease ruled out, ataxia", "Ataxia"),
        ("Speech absent since birth, seizures", "Seizure"),
        ("Speech absent and ataxia at 2", "Ataxia"),
        ("Muscle bulk lacking; ataxia", "Ataxia"),
        ("Reflexes were absent in the legs, ataxia", "Ataxia"),
        ("Metabolic disease excluded by MRI, ataxia", "Ataxia"),
        ("Consanguinity: no, seizures, hypotonia", "Seizure, Hypotonia"),
        ("Walking - never, seizures", "Seizure"),
    ],
)
def test_a_denial_of_what_is_no_finding_denies_nothing_behind_it(
    reader: FindingReader, note: str, present: str
) -> None:
    check(reader, note, present, "")


@pytest.mark.parametrize(
    ("note", "excluded"),
    [
        ("Absent ataxia, seizures.", "Ataxia, Seizure"),
        ("Denied, when asked, seizures and ataxia.", "Seizure, Ataxia"),
        ("He denied, when asked, seizures and ataxia.", "Seizure, Ataxia"),
        ("His mother has denied, when asked, seizures.", "Seizure"),
        (
            "MRI excluded cerebellar atrophy, ventriculomegaly.",
            "Cerebellar atrophy, Ventriculomegaly",
        ),
        ("Other signs were absent, including seizures, ataxia.", "Seizure, Ataxia"),
        ("Other signs have been excluded, such as seizures and ataxia.", "Seizure, Ataxia"),
        ("Other signs are absent in this boy, e.g. seizures.", "Seizure"),
        ("Dysmorphism is absent, as are seizures and ataxia.", "Seizure, Ataxia"),
        ("Scoliosis was excluded, as well as seizures.", "Scoliosis, Seizure"),
    ],
)
def test_a_denial_of_what_follows(reader: FindingReader, note: str, excluded: str) -> None:
    check(reader, note, "", excluded)


@pytest.mark.parametrize(
    ("note", "present", "excluded"),
    [
        ("Not able to walk, seizures since birth.", "Seizure", ""),
        ("He doesn't walk, and has had ataxia and seizures.", "Ataxia, Seizure", ""),
        (
            "Weight gain is not sufficient, consistent with failure to thrive.",
            "Failure to thrive",
            "",
        ),
        ("There is absent eye contact, seizures.", "Seizure", ""),
        # Lists.
        ("He did not have dysmorphism, seizures, ataxia.", "", "Seizure, Ataxia"),
        (
            "She is not dysmorphic, dystonic or ataxic; no ataxia or seizures.",
            "",
            "Ataxia, Seizure",
        ),
        ("Many signs are not seen, such as ataxia and seizures.", "", "Ataxia, Seizure"),
        ("Wheeze was not heard, and stridor at rest has been denied.", "", "Stridor"),
        ("No dysmorphism, seizures, ataxia.", "", "Seizure, Ataxia"),
        ("Born without complications, seizures or ataxia.", "", "Seizure, Ataxia"),
    ],
)
def test_a_denial_of_one_thing(
    reader: FindingReader, note: str, present: str, excluded: str
) -> None:
    check(reader, note, present, excluded)


@pytest.mark.parametrize(
    ("note", "present", "excluded"),
    [
        ("Ataxia is notably absent.", "", "Ataxia"),
        ("Seizures were explicitly ruled out, ataxia clinically excluded.", "", "Seizure, Ataxia"),
        ("Seizures and scoliosis are notably absent.", "", "Seizure, Scoliosis"),
        ("Ataxia is currently present; seizures are completely absent.", "Ataxia", "Seizure"),
        ("Ataxia is specifically not excluded.", "", ""),
    ],
)
def test_adverbs_between_a_finding_and_what_is_said_of_it(
    reader: FindingReader, note: str, present: str, excluded: str
) -> None:
    check(reader, note, present, excluded)


@pytest.mark.parametrize(
    ("note", "present", "excluded"),
    [
        ("No&nbsp;seizures. Hypotonia.", "Hypotonia", "Seizure"),
        ("No seizures&#160;or ataxia.", "", "Seizure, Ataxia"),
        ("He doesn&#39;t have seizures &amp; has ataxia.", "Ataxia", "Seizure"),
        ("There was absence of seizures.", "", "Seizure"),
        ("Absence of seizures, ataxia and tremor.", "", "Seizure, Ataxia, Tremor"),
        ("Absent seizures.", "", "Seizure"),
        ("Absence seizures.", "Generalized non-motor (absence) seizure", ""),
        ("Absence of speech.", "Absent speech", ""),
        ("Denies chest pain, endorses headache and ataxia.", "Headache, Ataxia", "Chest pain"),
        ("Denies: seizures. Endorses: ataxia.", "Ataxia", "Seizure"),
        ("A non-Hispanic white male with ataxia and seizures.", "Ataxia, Seizure", ""),
        ("Non-smoker, ataxia.", "Ataxia", ""),
        ("Denies non-bloody stools, seizures.", "", "Seizure"),
        ("Seizures: No Hypotonia: Yes Ataxia: No", "Hypotonia", "Seizure, Ataxia"),
        ("Seizures - no Short stature - no Ataxia - yes", "Ataxia", "Seizure, Short stature"),
        ("Seizures: none Hypotonia: mild Ataxia: none", "Hypotonia", "Seizure, Ataxia"),
    ],
)
def test_how_notes_write_a_denial(
    reader: FindingReader, note: str, present: str, excluded: str
) -> None:
    check(reader, note, present, excluded)


@pytest.mark.parametrize(
    ("note", "present"),
    [
        ("The mother of the patient has seizures.", ""),
        ("The brother of the proband had ataxia.", ""),
        ("A sister of the patient died with seizures and hypotonia.", ""),
        ("She was born to a mother with seizures.", ""),
        ("The boy, second child of unrelated parents, presented with seizures.", "Seizure"),
        ("A girl born to consanguineous parents was referred for seizures.", "Seizure"),
        ("The boy, whose parents are healthy, has seizures.", "Seizure"),
        ("Family history: mother has migraine. Neurological exam: ataxia.", "Ataxia"),
        ("FHx: mother w/ migraine. SHx: lives at home. PE: scoliosis.", "Scoliosis"),
        ("Family history: unremarkable. On examination he had hypotonia.", "Hypotonia"),
        ("Mother: healthy. Father: healthy. Child: seizures.", "Seizure"),
    ],
)
def test_whose_a_finding_is(reader: FindingReader, note: str, present: str) -> None:
    check(reader, note, present, "")
