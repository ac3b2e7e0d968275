"""Data card of a preference dataset, in the format of the Hugging Face Hub."""

from collections.abc import Mapping
from pathlib import Path

from mint_ray import __version__
from mint_ray.common.files import write_text
from mint_ray.config.preferences import PreferencesConfig
from mint_ray.tasks.task import Task

TEMPLATE = """---
pretty_name: mint_ray preference pairs
task_categories: [{category}]
tags: [preference, orpo, dpo, {tag}]
configs:
- config_name: default
  data_files:
{files}
---
# Preference pairs

Each row {asks}. `chosen` names {chosen_size} labels:
{chosen_are}. `rejected` names {rejected_size}: {rejected_are}.
Both are answers, not truths.
`label_id` is the known answer where there is one.

| | |
|---|---|
| teacher | `{teacher}` |
| catalogue | {labels} labels |
| step | `prefer-{key}`, mint_ray {version} |
| known answer in `chosen` | `{gold}` |
| order of the rejected names | `{order}` |
| pairs per case | {rejected_sets} |
| least teacher confidence | {min_confidence} |
| training cases ranked by | {ranked_by} |{answer_first}{unanswered}{frequent}

| split | pairs |
|---|---|
{pairs}

| turned away because | cases |
|---|---|
{rejected}

Train on `train`, choose on `validation`, and report on `test` only: the splits share no {group}.
Columns follow TRL's conversational preference format{images}; `load_dataset("parquet",
data_files={{"train": "train.parquet"}})` reads it. Not for clinical use.
"""

_ANSWER_FIRST = """
| known answer ranked first, {} | {:.1f} % |"""
_UNANSWERED = """
| rejected names without a score of the teacher | {}, drawn at random |"""
_FREQUENT = """
| the {} most frequent rejected names make up | {:.1f} % of the rejected places |"""

_CHOSEN = {
    "best": "the teacher's best ones",
    "drawn": "drawn without replacement from the teacher's probabilities",
}
_REJECTED = {
    "worst": "the teacher's worst ones",
    "hard": "the teacher's next ranks below the chosen ones, and names like theirs but for the "
    "last number or letter",
    "mixed": "half of them near mistakes (the next ranks below the chosen ones, and names like "
    "theirs but for the last number or letter), half the teacher's worst ones",
}

_WORDS = {
    "disease": {
        "category": "text-generation",
        "tag": "rare-disease",
        "asks": "asks for the most likely diseases of one case",
        "group": "source publication",
        "images": "",
    },
    "gene": {
        "category": "text-generation",
        "tag": "rare-disease",
        "asks": "asks for the most likely causative genes of one case",
        "group": "source publication",
        "images": "",
    },
    "own": {
        "category": "text-generation",
        "tag": "text",
        "asks": "asks for the most likely answers to one text",
        "group": "stated group",
        "images": "",
    },
    "tissue": {
        "category": "image-text-to-text",
        "tag": "histology",
        "asks": "shows one H&E image and asks for the most likely tissues that it comes from",
        "group": "patient or slide",
        "images": " with images, which lie encoded in the column `images`",
    },
}


def write_card(
    path: Path,
    config: PreferencesConfig,
    task: Task,
    *,
    pairs: Mapping[str, int],
    rejected: Mapping[str, int],
    teacher: str,
    labels: int,
    key: str,
    unanswered: int = 0,
    answer_first: Mapping[str, float] | None = None,
    folds: int = 0,
    recorded: bool = False,
    frequent: tuple[int, float] | None = None,
) -> None:
    """Write the dataset's README atomically.

    Args:
        pairs: number of pairs by split.
        rejected: number of cases without pairs, by reason.
        teacher: name of the teacher.
        labels: number of labels of the catalogue.
        key: hash of the prefer step.
        unanswered: number of rejected names that the teacher did not answer for.
        answer_first: share of the cases whose known answer the teacher ranks first, by split.
        folds: number of cross-fitted teachers; 0 without.
        recorded: whether the teacher's scores were made elsewhere.
        frequent: a number of most frequent rejected names, and their share of the rejected places.
    """
    write_text(
        path,
        TEMPLATE.format(
            files="\n".join(f"  - split: {s}\n    path: {s}.parquet" for s in pairs),
            pairs="\n".join(f"| {split} | {n} |" for split, n in pairs.items()),
            rejected="\n".join(f"| {why} | {n} |" for why, n in sorted(rejected.items()))
            or "| (none) | 0 |",
            teacher=teacher,
            labels=labels,
            key=key,
            ranked_by=_ranked_by(folds, recorded),
            answer_first="".join(
                _ANSWER_FIRST.format(split, 100 * share)
                for split, share in (answer_first or {}).items()
            ),
            unanswered=_UNANSWERED.format(unanswered) if unanswered else "",
            frequent="" if frequent is None else _FREQUENT.format(frequent[0], 100 * frequent[1]),
            chosen_are=_CHOSEN[config.chosen],
            rejected_are=_REJECTED[config.rejected],
            version=__version__,
            **_WORDS[task.name],
            **config.model_dump(
                include={
                    "chosen_size",
                    "rejected_size",
                    "gold",
                    "order",
                    "rejected_sets",
                    "min_confidence",
                }
            ),
        ),
    )


def _ranked_by(folds: int, recorded: bool) -> str:
    if recorded:
        return "a teacher whose scores were recorded; it was not fitted to these cases here"
    if folds:
        return f"{folds} teachers, each fitted without the groups that it ranks"
    return "the teacher that was fitted to them: its scores of training cases are optimistic"
