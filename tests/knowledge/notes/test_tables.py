"""Findings and answers in columns of invented notes."""

import pytest

from mint_ray.knowledge.notes.findings import FindingReader, present_and_excluded
from mint_ray.knowledge.ontology import load_ontology

ONTOLOGY = load_ontology()


@pytest.mark.parametrize(
    ("note", "present", "excluded"),
    [
        ("Finding | Present\nSeizures | No\nHypotonia | Yes", "Hypotonia", "Seizure"),
        (
            "| Finding | Present |\n|---|---|\n| Seizures | No |\n| Hypotonia | Yes |\n"
            "| Ataxia | ? |",
            "Hypotonia",
            "Seizure",
        ),
        ("Finding\tPresent\nSeizures\tNo\nHypotonia\tYes", "Hypotonia", "Seizure"),
        ("Finding      Present\nSeizures     No\nHypotonia    Yes", "Hypotonia", "Seizure"),
        ("Seizures          no\nHypotonia         yes", "Hypotonia", "Seizure"),
        ("Seizures ........ no\nHypotonia ....... yes", "Hypotonia", "Seizure"),
        ("Finding,Present\nSeizures,No\nHypotonia,Yes", "Hypotonia", "Seizure"),
        ("Finding;Present (Y/N)\nSeizures;N\nHypotonia;Y", "Hypotonia", "Seizure"),
        ("No | Seizures\nYes | Hypotonia", "Hypotonia", "Seizure"),
        ("Finding | Yes | No\nSeizures | | X\nHypotonia | X |", "Hypotonia", "Seizure"),
        ("Finding\tYes\tNo\nSeizures\t\tx\nHypotonia\tx\t\nAtaxia\t\t", "Hypotonia", "Seizure"),
        ("Finding | Absent\nSeizures | Yes\nHypotonia | No", "Hypotonia", "Seizure"),
        (
            "Present | Absent\nHypotonia | Seizures\nAtaxia | Scoliosis",
            "Hypotonia, Ataxia",
            "Seizure, Scoliosis",
        ),
        ("Present       Absent\nHypotonia     Seizures", "Hypotonia", "Seizure"),
        ("Feature | Mother | Patient\nSeizures | + | -\nHypotonia | - | +", "Hypotonia", "Seizure"),
        ("Feature | Patient | Mother\nSeizures | - | +\nHypotonia | + | -", "Hypotonia", "Seizure"),
        (
            "Finding   Present   Comment\nSeizures  No   never\nHypotonia   Yes   with ataxia",
            "Hypotonia, Ataxia",
            "Seizure",
        ),
        ("Seizures    No    never\nHypotonia    Yes    severe", "Hypotonia", "Seizure"),
        ("Yes\tNo\n\tX\tSeizures\nX\t\tHypotonia", "Hypotonia", "Seizure"),
        ("Yes | No | Finding\n | x | Seizures\nx | | Hypotonia", "Hypotonia", "Seizure"),
        ("Symptom    Yes   No\nSeizures         x\nHypotonia   x", "Hypotonia", "Seizure"),
        (
            "Positive findings | Negative findings\nHypotonia, ataxia | Seizures, scoliosis",
            "Hypotonia, Ataxia",
            "Seizure, Scoliosis",
        ),
        ("Epistaxis: no personal history.", "", "Epistaxis"),
        ("Epistaxis: patient and family history negative.", "", "Epistaxis"),
        ("Epistaxis: no family history.", "", ""),
        ("Seizures | Hypotonia\nNo | Yes", "Hypotonia", "Seizure"),
        ("Seizures: No    Hypotonia: Yes", "Hypotonia", "Seizure"),
        (
            "<table><tr><th>Finding</th><th>Present</th></tr>\n<tr><td>Seizures</td><td>No</td></tr>"
            "<tr><td>Hypotonia</td>\n <td>Yes</td></tr></table>",
            "Hypotonia",
            "Seizure",
        ),
        ("HPO ID\tName\tStatus\nHP:0001250\tSeizure\texcluded", "", "Seizure"),
        ("Finding | Present\nSeizures | not examined\nHypotonia | 1", "Hypotonia", ""),
        # Under a heading of relatives, and what only looks like a table.
        ("Family history:\nSeizures | No\nHypotonia | Yes", "", ""),
        ("He has hypotonia.  No seizures.", "Hypotonia", "Seizure"),
        ("Hypotonia since birth   severe\nNo seizures   so far", "Hypotonia", "Seizure"),
        ("Hypotonia, ataxia\nNo seizures, no scoliosis", "Hypotonia, Ataxia", "Seizure, Scoliosis"),
        # What a history or an examination says.
        ("Epistaxis: patient history negative.", "", "Epistaxis"),
        ("Seizures - personal history: negative; family history positive.", "", "Seizure"),
        ("Scoliosis: examination unremarkable.", "", "Scoliosis"),
        ("Scoliosis: clinical exam positive.", "Scoliosis", ""),
        ("Seizures: family history negative.", "", ""),
    ],
)
def test_answers_in_columns(reader: FindingReader, note: str, present: str, excluded: str) -> None:
    found = present_and_excluded(reader.read(note))
    names = [", ".join(ONTOLOGY.name(term) for term in terms) for terms in found]
    assert names == [present, excluded]


def test_findings_in_tables_know_their_places(reader: FindingReader) -> None:
    note = "Born at term.\n\nFinding | Present\nHypotonia | Yes\nSeizures | No\n\nNo ataxia"
    found = reader.read(note)
    assert [note[item.start : item.end] for item in found] == ["Hypotonia", "Seizures", "ataxia"]


@pytest.mark.parametrize("text", ["| " * 50_000, "a  b\n" * 20_000, "\t\n" * 50_000, "." * 99_999])
def test_hostile_tables_cost_little(reader: FindingReader, text: str) -> None:
    assert reader.read(text) == []
