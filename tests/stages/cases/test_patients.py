"""The stage `cases` for patients: what is read, grouped, excluded, counted and said."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import Case, blank_case
from mint_ray.config.config import Config
from mint_ray.errors import DataError
from mint_ray.knowledge.annotations import load_annotations, read_publications
from mint_ray.knowledge.catalogue import Catalogue, Label, build_catalogue
from mint_ray.pipeline.steps import STEPS, StepContext, StepOutcome
from mint_ray.stages.cases import stage as cases
from mint_ray.stages.cases.patients import leave_out_repeats, mark_answerable
from tests.cases.patients.phenopacket_examples import packet

DISEASES = ("OMIM:154700", "OMIM:163950", "OMIM:191100", "OMIM:310200", "OMIM:219700")
SPELLINGS = ("PMID:{}", "pmid_{}", "https://pubmed.ncbi.nlm.nih.gov/{}/")


def run(out: Path, **settings: Any) -> tuple[StepOutcome, list[str]]:
    config = Config.model_validate({"task": "disease", "cases": settings})
    said: list[str] = []
    out.mkdir()
    progress = SimpleNamespace(say=said.append)
    context = StepContext(config, "key", {}, out, None, progress)  # type: ignore[arg-type]
    return cases.run(context), said


def corpus(folder: Path) -> None:
    """Five publications of three patients each, cited in the evidence of the findings alone."""
    folder.mkdir()
    for number, disease in enumerate(DISEASES):
        for patient in range(3):
            reference = {"id": SPELLINGS[patient].format(9999990 + number)}
            finding = {"type": {"id": "HP:0001250"}, "evidence": [{"reference": reference}]}
            extra = {"id": "doi:10.1000/X", "reference": ""}
            made = packet(
                id=f"p{number}-{patient}",
                phenotypicFeatures=[finding],
                interpretations=[{"diagnosis": {"disease": {"id": disease, "label": "D"}}}],
                metaData={
                    "phenopacketSchemaVersion": "2.0",
                    "externalReferences": [extra] if number == 0 else [],
                },
            )
            (folder / f"{number}-{patient}.json").write_text(json.dumps(made))
    (folder / "README.md").write_text("# A corpus\nOf invented patients.")
    (folder / "bad.json").write_text("{")


@pytest.mark.cluster
@pytest.mark.usefixtures("ray_cluster")
def test_a_corpus_that_cites_in_evidence_is_split_and_excluded_by_publication(
    tmp_path: Path,
) -> None:
    corpus(tmp_path / "packets")
    outcome, said = run(
        tmp_path / "out",
        source="phenopackets",
        path=str(tmp_path / "packets"),
        modalities="text_only",
        validation_fraction=0.2,
    )
    rows = pq.read_table(tmp_path / "out" / "cases.parquet").to_pylist()
    cited = {
        split: {p for row in rows if row["split"] == split for p in row["publications"]}
        for split in ("train", "validation", "test")
    }
    assert len(rows) == 15
    assert all(cited.values())
    assert not cited["train"] & (cited["validation"] | cited["test"])
    assert len({row["group_id"] for row in rows}) == 5
    excluded = read_publications(tmp_path / "out" / "excluded_publications.txt")
    assert excluded == cited["validation"] | cited["test"]
    assert outcome.rejected == {"found_text": 1, "not_json": 1}
    assert outcome.facts["cases_without_publication"] == 0
    assert outcome.facts["publications_excluded"] == len(excluded)
    assert outcome.facts["publications_excluded_without_pubmed_id"] == sum(
        p.startswith("DOI:") for p in excluded
    )
    assert not any("name no publication" in line for line in said)


@pytest.mark.cluster
@pytest.mark.usefixtures("ray_cluster")
def test_a_table_without_publications_says_so_and_counts_what_it_changed(tmp_path: Path) -> None:
    rows = [
        {"case_id": f"{number}-{patient}", "terms": ["Seizure"], "sex": "fm", "label_id": label}
        for number, label in enumerate(("OMIM:154700", "omim_163950", "HGNC:3603"))
        for patient in range(4)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "mine.parquet")
    outcome, said = run(
        tmp_path / "out",
        source="parquet",
        path=str(tmp_path / "mine.parquet"),
        modalities="text_only",
    )
    assert any("12 of 12 cases name no publication" in line for line in said)
    assert any("12 unmapped_sex" in line and "4 gene_as_disease" in line for line in said)
    assert any("4 of 12 cases have no known answer" in line for line in said)
    assert outcome.facts["cases_without_publication"] == 12
    assert outcome.facts["cases_without_answer"] == 4
    assert outcome.facts["reading"]["gene_as_disease"] == 4
    written = pq.read_table(tmp_path / "out" / "cases.parquet")
    assert set(written["label_id"].to_pylist()) == {"OMIM:154700", "OMIM:163950", None}


@pytest.mark.cluster
@pytest.mark.usefixtures("ray_cluster")
def test_diseases_of_too_few_publications_are_rejected_before_splits(tmp_path: Path) -> None:
    rows = [
        {
            "case_id": f"{label}-{number}",
            "terms": ["Seizure"],
            "label_id": label,
            "publications": [f"PMID:{9999000 + number}"],
        }
        for label, publications in (("OMIM:154700", 5), ("OMIM:163950", 1))
        for number in range(publications)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "mine.parquet")
    settings = {"source": "parquet", "path": str(tmp_path / "mine.parquet")}
    settings |= {"modalities": "text_only", "min_label_groups": 2}
    outcome, _ = run(tmp_path / "out", **settings)
    assert outcome.rejected == {"too_few_groups": 1}
    assert (outcome.rows_in, outcome.rows_out) == (6, 5)
    with pytest.raises(DataError, match=r"no usable case among 6: \{'too_few_groups': 6\}"):
        run(tmp_path / "none", **{**settings, "min_label_groups": 6})


def test_nothing_usable_is_one_line_with_reasons(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match=r"no usable case among 1: \{'not_json': 1\}") as caught:
        run(tmp_path / "out", source="phenopackets", path=str(tmp_path / "bad.json"))
    assert "\n" not in str(caught.value)


def made(case_id: str, split: str, label: str | None) -> Case:
    case = blank_case(case_id, "parquet")
    case |= {"split": split, "label_id": label, "seen": None}
    return case


def test_a_disease_outside_the_catalogue_is_never_seen() -> None:
    catalogue = Catalogue([Label("OMIM:1", "A", ("OMIM:1", "ORPHA:1"), (), ())])
    marked = mark_answerable(
        [
            made("a", "train", "ORPHA:1"),
            made("b", "train", "HGNC:1"),
            made("c", "test", "OMIM:1"),
            made("d", "test", "HGNC:1"),
            made("e", "test", None),
        ],
        catalogue,
    )
    assert [case["seen"] for case in marked] == [True, False, True, False, False]


def test_a_foreign_namespace_is_not_seen() -> None:
    labels = {"OMIM:154700": "Marfan syndrome", "MINE:1": "A disease of no annotation"}
    catalogue = build_catalogue(load_annotations(), labels, "OMIM", "all")
    marked = mark_answerable([made("a", "train", "MINE:1"), made("b", "test", "MINE:1")], catalogue)
    assert [case["seen"] for case in marked] == [False, False]


def test_sources_with_drawn_splits_have_a_new_version() -> None:
    (step,) = (step for step in STEPS if step.name == "cases")
    versions = {
        source: step.version_for(
            Config.model_validate(
                {
                    "task": "disease" if source in ("simulated", "phenopackets") else "tissue",
                    "cases": {"source": source, "path": "x"},
                }
            )
        )
        for source in ("simulated", "phenopackets", "parquet", "tiles", "images", "pannuke")
    }
    assert versions.pop("pannuke") == step.version
    assert all(version > step.version for version in versions.values())


def test_a_rendering_without_its_original_or_with_the_same_note_is_left_out() -> None:
    rows = [
        ("a", "packet", "A note.", None),
        ("a#r2", "rendering", "A note.", None),
        ("a#r3", "rendering", "Another.", None),
        ("a#r4", "rendering", "Another.", None),
        ("a#r5", "rendering", "", "answer_in_note"),
        ("b", "packet", "", "answer_in_note"),
        ("b#r2", "rendering", "A third.", None),
        ("c#d", "packet", "A note.", None),
    ]
    names = ("case_id", "source", "note", "reason")
    table = pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))
    kept = leave_out_repeats(table)["case_id"].to_pylist()
    assert kept == ["a", "a#r3", "a#r5", "b", "c#d"]
