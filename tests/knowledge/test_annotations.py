import pytest

from mint_ray.errors import DataError
from mint_ray.knowledge.annotations import (
    DEFAULT_FREQUENCY,
    Row,
    cited_publications,
    load_annotations,
    merge_rows,
    read_publications,
)

NAN = float("nan")
COUNT_3_4 = Row("HP:1", 3, 4, NAN, False, None, "PMID:1")
COUNT_0_4 = Row("HP:1", 0, 4, NAN, False, None, "PMID:2;OMIM:1")
STATED = Row("HP:1", 0, 0, 0.545, False, None, "ORPHA:1")
PLAIN = Row("HP:1", 0, 0, NAN, False, "male", "")
NEGATED = Row("HP:1", 0, 0, NAN, True, None, "PMID:3")


@pytest.mark.parametrize(
    ("rows", "frequency"),
    [
        ([COUNT_3_4], 0.75),
        ([COUNT_3_4, COUNT_0_4], 3 / 8),
        ([COUNT_3_4, STATED, PLAIN, NEGATED], 0.75),
        ([STATED, STATED._replace(stated=0.17), PLAIN], 0.3575),
        ([PLAIN, NEGATED], DEFAULT_FREQUENCY),
        ([COUNT_0_4], 0.0),
        ([NEGATED, NEGATED], 0.0),
        ([NEGATED, COUNT_0_4], 0.0),
    ],
)
def test_the_best_evidence_decides_the_frequency(rows, frequency):
    merged = merge_rows(rows)
    assert merged.frequency == pytest.approx(frequency)
    assert merged.excluded == (frequency == 0.0)


def test_sex_holds_only_where_all_lines_agree():
    assert merge_rows([PLAIN, PLAIN]).sex == "male"
    assert merge_rows([PLAIN, STATED]).sex is None


def test_references_are_joined():
    assert merge_rows([COUNT_3_4, COUNT_0_4, PLAIN]).references == ("OMIM:1", "PMID:1", "PMID:2")


def test_several_ids_are_one_disease(annotations):
    seizure, delay = annotations.of("OMIM:900001", "ORPHA:91")
    assert (seizure.term, seizure.frequency) == ("HP:0001250", 0.75)
    assert (delay.term, delay.frequency) == ("HP:0001263", 0.895)
    assert annotations.of("OMIM:900002") == annotations.of("nonsense") == ()


@pytest.fixture(scope="module")
def packaged():
    return load_annotations()


def test_packaged_annotations(packaged):
    assert len(packaged.diseases) == 12_687
    assert packaged.diseases["OMIM:154700"] == "Marfan syndrome"
    assert packaged.genes["OMIM:154700"] == ("FBN1",)
    (lens,) = [a for a in packaged.of("OMIM:154700") if a.term == "HP:0001083"]
    assert 0 < lens.frequency <= 1
    assert not lens.excluded


def test_only_what_is_known_from_excluded_publications_alone_is_dropped(packaged):
    disease = "OMIM:619340"
    before = packaged.of(disease)
    publications = {ref for a in before for ref in a.references if ref.startswith("PMID:")}
    left = load_annotations(frozenset(publications))
    assert before
    assert left.of(disease) == ()
    assert left.diseases == packaged.diseases
    one = frozenset(sorted(publications)[:1])
    kept = {a.term for a in load_annotations(one).of(disease)}
    assert kept == {a.term for a in before if not set(a.references) <= one}


def test_a_line_with_another_source_stays(packaged):
    mixed = [
        (disease, a)
        for disease in list(packaged.diseases)[:2000]
        for a in packaged.of(disease)
        if len(a.references) > 1 and {r[:5] for r in a.references} >= {"PMID:", "OMIM:"}
    ]
    assert mixed
    disease, annotation = mixed[0]
    publications = frozenset(r for r in annotation.references if r.startswith("PMID:"))
    left = load_annotations(publications).of(disease)
    assert annotation.term in {a.term for a in left}


def test_lines_that_pool_an_excluded_publication_are_dropped_if_asked(packaged):
    pooled = [
        (disease, a)
        for disease in list(packaged.diseases)[:2000]
        for a in packaged.of(disease)
        if len(a.references) > 1 and a.references[0].startswith("OMIM:")
    ]
    disease, annotation = pooled[0]
    one = frozenset(annotation.references[1:2])
    left = load_annotations(one, pooled="drop")
    assert not any(one & set(a.references) for a in left.of(disease))
    assert one <= cited_publications(one)
    assert not one & cited_publications(one, pooled="drop")
    # Lines that do not cite it stay.
    others = {a.term for a in packaged.of(disease) if not one & set(a.references)}
    assert others <= {a.term for a in left.of(disease)}
    assert load_annotations(one, pooled="keep").of(disease) == load_annotations(one).of(disease)


def test_publications_file(tmp_path):
    path = tmp_path / "publications.txt"
    path.write_text("\ufeffPMID:123\n\n# note\n456\npmid: 7 \n", encoding="utf-8")
    assert read_publications(path) == {"PMID:123", "PMID:456", "PMID:7"}
    path.write_text("https://doi.org/10.1000/X\nPMC0012\nhttps://pubmed.ncbi.nlm.nih.gov/8/\n")
    assert read_publications(path) == {"DOI:10.1000/x", "PMC12", "PMID:8"}


def test_a_bad_publications_file_names_the_line_not_its_text(tmp_path):
    path = tmp_path / "publications.txt"
    path.write_text("PMID:123\nsecret\n")
    with pytest.raises(DataError, match="line 2") as caught:
        read_publications(path)
    assert "secret" not in str(caught.value)
    with pytest.raises(DataError, match="FileNotFoundError"):
        read_publications(tmp_path / "absent.txt")
