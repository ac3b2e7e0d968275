"""Cases of patients: read or simulated, split, and finished on Ray Data."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray
import ray.data

from mint_ray.cases.patients.answer_leak import names_of_answer
from mint_ray.cases.patients.clinical_notes.language import NOT_ENGLISH
from mint_ray.cases.patients.finish import finish_cases
from mint_ray.cases.schema import (
    CASE_SCHEMA,
    MADE_SOURCES,
    RECOMBINED,
    REJECTED_SCHEMA,
    RENDERING,
    SPLITS,
    Case,
    ParsedCase,
    RejectedCase,
    origin_of,
)
from mint_ray.cases.splits import join_groups, leave_out_rare, split_cases
from mint_ray.config.cases import CasesConfig
from mint_ray.config.config import Config
from mint_ray.errors import DataError
from mint_ray.knowledge.annotation_files import read_more_names
from mint_ray.knowledge.annotations import (
    cited_publications,
    load_annotations,
)
from mint_ray.knowledge.catalogue import Catalogue, build_catalogue
from mint_ray.knowledge.ids import is_pubmed
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.knowledge.release import Release, describe_knowledge, open_release
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.runtime.inference import actor_pool
from mint_ray.runtime.session import begin_session
from mint_ray.stages.cases.answers import in_scope, open_answers, relabel
from mint_ray.stages.cases.patient_sources import (
    excluded_publications,
    make_from,
    read_patients,
    simulate_beside,
)

BATCH = 256
WORK_SCHEMA = CASE_SCHEMA.append(pa.field("forbidden", pa.list_(pa.string())))
FINISHED_SCHEMA = CASE_SCHEMA.append(pa.field("reason", pa.string())).append(
    pa.field("counts", pa.map_(pa.string(), pa.int64()))
)


def run(context: StepContext) -> StepOutcome:
    """Write the case table and the catalogue."""
    config = context.config
    release = open_release(config.knowledge.release)
    outcomes = list(read_patients(config, release))
    parsed = [item for item in outcomes if isinstance(item, ParsedCase)]
    rejected = [vars(item) for item in outcomes if isinstance(item, RejectedCase)]
    answers = open_answers(config, release)
    if answers is not None:
        parsed = relabel(parsed, answers, config)
    cases = join_groups([item.case for item in parsed])
    cases, too_few = leave_out_rare(cases, config.cases.min_label_groups)
    rejected += map(vars, too_few)
    left_out = {item.case_id for item in too_few}
    parsed = [item for item in parsed if item.case["case_id"] not in left_out]
    if not parsed:
        why = Counter(row["reason"] for row in rejected)
        raise DataError(f"no usable case among {len(rejected)}: {dict(why)}", why)
    counts: Counter[str] = sum((item.counts for item in parsed), Counter())
    cases = split_cases(cases, config.cases, config.seed)
    excluded = excluded_publications(config, cases)
    more_names = config.knowledge.more_names
    further = read_more_names(more_names) if more_names and answers is None else {}
    annotated = load_annotations(excluded, release, config.knowledge.pooled_lines)
    annotations = annotated.with_names(further)
    if answers is None:
        labels = _labels(case for case in cases if case["split"] == "train")
        namespace, scope = config.knowledge.namespace, config.knowledge.labels
        catalogue = build_catalogue(annotations, labels, namespace, scope, release)
    else:
        catalogue = in_scope(answers, cases, config)
    cases = mark_answerable(cases, catalogue)
    sizes = Counter(case["group_id"] for case in cases)
    context.progress.say(
        f"{len(cases)} cases in {len(sizes)} groups (the largest has {max(sizes.values())}), "
        f"catalogue of {len(catalogue)} labels, {len(excluded)} publications excluded from "
        "annotations"
    )
    lacking = _lacking(cases, excluded)
    if config.cases.source != "simulated":
        for line in _lines(lacking, len(cases)):
            context.progress.say(line)
    cited = cited_publications(excluded, release, config.knowledge.pooled_lines)
    knowledge = _knowledge(cases, cited, release, len(further.keys() - annotated.diseases.keys()))
    context.progress.say(describe_knowledge(knowledge))
    forbidden = [item.forbidden for item in parsed]
    made = make_from(cases, catalogue, annotations, config)
    names_of = dict(zip((case["case_id"] for case in cases), forbidden, strict=True))
    simulated = simulate_beside(cases, catalogue, annotations, config)
    if simulated:
        context.progress.say(
            f"{len(simulated)} simulated patients of {len({c['label_id'] for c in simulated})} "
            "diseases join the training split"
        )
        cases += simulated
        forbidden += [()] * len(simulated)
    if made:
        kinds = Counter(case["source"] for case in made)
        context.progress.say(
            f"{kinds[RENDERING]} renderings of training cases and {kinds[RECOMBINED]} recombined "
            "patients join the training split"
        )
        cases += made
        forbidden += [names_of[origin_of(case["case_id"])] for case in made]
    begin_session(context.config.resources, context.progress.say)
    finished = _finish(cases, forbidden, catalogue, config)
    for batch in finished["counts"].drop_null().to_pylist():
        counts.update(dict(batch))
    written = leave_out_repeats(finished)
    counts["repeated_renderings"] += finished.num_rows - written.num_rows
    if counts := +counts:
        context.progress.say(", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    if foreign := counts["notes_not_in_english"]:
        context.progress.say(f"{foreign} of {len(cases)} notes are {NOT_ENGLISH}")
    facts = {
        **lacking,
        "knowledge": knowledge,
        "simulated_training_cases": len(simulated),
        **({"made_training_cases": len(made)} if made else {}),
        "reading": dict(sorted(counts.items())),
    }
    return _write(context, written, rejected, catalogue, excluded, facts)


def mark_answerable(cases: Iterable[Case], catalogue: Catalogue) -> list[Case]:
    """Set `seen` where a training case has the same answer in the catalogue.

    Ids of one label count as the same answer. A disease outside the catalogue cannot be answered:
    it is not seen, though a training case may have it.
    """
    indexed = [
        (case, None if case["label_id"] is None else catalogue.index_of(case["label_id"]))
        for case in cases
    ]
    trained = {index for case, index in indexed if case["split"] == "train"} - {None}
    return [{**case, "seen": index in trained} for case, index in indexed]


def leave_out_repeats(finished: pa.Table) -> pa.Table:
    """Return finished cases without made ones that repeat a note or have lost their original.

    Args:
        finished: rows of `FINISHED_SCHEMA`.
    """
    columns = (finished[name].to_pylist() for name in ("case_id", "source", "note", "reason"))
    rows = list(zip(*columns, strict=True))
    notes = {
        case_id: {note}
        for case_id, source, note, reason in rows
        if source not in MADE_SOURCES and reason is None
    }
    kept = []
    for case_id, source, note, reason in rows:
        is_made = source in MADE_SOURCES and reason is None
        known = notes.get(origin_of(case_id))
        kept.append(not is_made or (known is not None and note not in known))
        if is_made and known is not None:
            known.add(note)
    return finished.filter(pa.array(kept))


def _knowledge(
    cases: Iterable[Case], left: frozenset[str], release: Release, n_more_names: int
) -> dict[str, Any]:
    """Return, for the manifest, the knowledge base and how much of it rests on test cases.

    `left` are the publications that are cited after the exclusions.
    """
    tested = [frozenset(case["publications"]) for case in cases if case["split"] == "test"]

    def share_cited(cited: frozenset[str]) -> float | None:
        if not any(tested):
            return None
        return sum(not own.isdisjoint(cited) for own in tested) / len(tested)

    return {
        "release": release.folder,
        "ontology": load_ontology(release).version,
        "annotations": release.annotations_version(),
        "more_names": n_more_names,
        "test_cases_cited": share_cited(cited_publications(release=release)),
        "test_cases_cited_after_exclusion": share_cited(left),
    }


def _lacking(cases: Sequence[Case], excluded: frozenset[str]) -> dict[str, int]:
    """Return, for the manifest, how many cases lack an answer or a publication."""
    return {
        "cases_without_answer": sum(case["label_id"] is None for case in cases),
        "cases_without_publication": sum(not case["publications"] for case in cases),
        "publications_excluded": len(excluded),
        "publications_excluded_without_pubmed_id": sum(not is_pubmed(p) for p in excluded),
    }


def _lines(facts: Mapping[str, int], cases: int) -> Iterator[str]:
    if unlabelled := facts["cases_without_answer"]:
        yield f"{unlabelled} of {cases} cases have no known answer"
    if unpublished := facts["cases_without_publication"]:
        yield (
            f"{unpublished} of {cases} cases name no publication: each is a group of its own "
            "unless it has a stated group, and excludes no annotation"
        )
    if unknown := facts["publications_excluded_without_pubmed_id"]:
        yield (
            f"{unknown} of {facts['publications_excluded']} excluded publications are DOIs or PMC "
            "ids, which exclude nothing: annotations cite PubMed ids"
        )


def _labels(cases: Iterable[Case]) -> dict[str, str]:
    return {c["label_id"]: c["label_name"] or c["label_id"] for c in cases if c["label_id"]}


def _finish(
    cases: list[Case], forbidden: list[tuple[str, ...]], catalogue: Catalogue, config: Config
) -> pa.Table:
    """Draw faces and write notes in parallel; return rows of `FINISHED_SCHEMA`, sorted by case."""
    rows = [
        {**case, "forbidden": [*names, *names_of_answer(case, names, catalogue)]}
        for case, names in zip(cases, forbidden, strict=True)
    ]
    batches = [
        pa.Table.from_pylist(rows[i : i + BATCH], WORK_SCHEMA) for i in range(0, len(rows), BATCH)
    ]
    data = ray.data.from_arrow(batches).map_batches(
        Finisher,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_args=(
            config.cases.model_dump(mode="json"),
            config.seed,
            catalogue.release,
        ),
        compute=actor_pool(config.resources, len(batches)),
        num_cpus=config.resources.cpus_per_worker,
    )
    return pa.concat_tables(ray.get(data.to_arrow_refs())).sort_by("case_id")


class Finisher:
    """Ray Data actor that holds the ontology and finishes batches of cases."""

    def __init__(self, settings: dict[str, Any], seed: int, release: Release) -> None:
        self._ontology = load_ontology(release)
        self._config, self._seed = CasesConfig.model_validate(settings), seed

    def __call__(self, batch: pa.Table) -> pa.Table:
        forbidden = dict(
            zip(batch["case_id"].to_pylist(), batch["forbidden"].to_pylist(), strict=True)
        )
        cases = batch.drop_columns(["forbidden"]).to_pylist()
        finished = finish_cases(cases, forbidden, self._ontology, self._config, self._seed)
        reasons = {row["case_id"]: row["reason"] for row in finished.rejected}
        kept = {case["case_id"]: case for case in finished.cases}
        rows = [
            {**kept.get(case["case_id"], case), "reason": reasons.get(case["case_id"])}
            for case in cases
        ]
        rows[0]["counts"] = list(finished.counts.items())  # of the whole batch
        return pa.Table.from_pylist(rows, FINISHED_SCHEMA)


def _write(
    context: StepContext,
    finished: pa.Table,
    rejected: list[dict[str, Any]],
    catalogue: Catalogue,
    excluded: frozenset[str],
    facts: Mapping[str, Any],
) -> StepOutcome:
    is_rejected = pc.is_valid(finished["reason"])
    rejected_late = finished.filter(is_rejected).select(REJECTED_SCHEMA.names).to_pylist()
    cases = finished.filter(pc.invert(is_rejected)).select(CASE_SCHEMA.names).cast(CASE_SCHEMA)
    rejected_table = pa.Table.from_pylist([*rejected, *rejected_late], REJECTED_SCHEMA)
    out = context.output
    pq.write_table(rejected_table, out / "rejected.parquet")
    pq.write_table(cases, out / "cases.parquet", row_group_size=BATCH)
    catalogue.write(out / "catalogue.parquet")
    lines = "".join(f"{publication}\n" for publication in sorted(excluded))
    (out / "excluded_publications.txt").write_text(lines, encoding="utf-8")
    by_split = Counter(cases["split"].to_pylist())
    return StepOutcome(
        rows_in=cases.num_rows + rejected_table.num_rows,
        rows_out=cases.num_rows,
        rejected=Counter(rejected_table["reason"].to_pylist()),
        facts={
            "splits": {split: by_split[split] for split in SPLITS},
            "labels": len(catalogue),
            "catalogue": catalogue.revision(),
            "groups": len(pc.unique(cases["group_id"])),
            **facts,
        },
    )
