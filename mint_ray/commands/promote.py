"""Promotion with `mint promote`: registration of a student, comparison with the champion.

Both students rank the same test cases over the catalogue of the new student, whatever cases each
was tested on before.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mint_ray.common.digests import sha256
from mint_ray.common.files import write_json
from mint_ray.config.config import Config
from mint_ray.errors import RegistryError
from mint_ray.evaluation.calibration import calibrator as answer_calibration
from mint_ray.evaluation.calibration.calibrator import read_calibration
from mint_ray.evaluation.calibration.scores import ScoredCases, case_values, scored_cases
from mint_ray.evaluation.fused.pool import ranked_by
from mint_ray.evaluation.metrics.bootstrap import Interval, mean_interval
from mint_ray.evaluation.metrics.sign_flips import sign_flip_p_value
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline import graph as pipeline
from mint_ray.pipeline.manifest import Manifest, read_manifest
from mint_ray.reports.cards.model_card import FILE as CARD
from mint_ray.runtime.session import begin_session
from mint_ray.stages.calibrate import SCORES, TESTED
from mint_ray.stages.workers.scoring import score_cases
from mint_ray.students.student_folder import CATALOGUE, read_info
from mint_ray.tasks.task import TASKS
from mint_ray.tracking.registry import KEY, SCHEME, Registry, Version
from mint_ray.tracking.tracker import tracking_uri

DECISION = "decision.json"
CASES = "mint_ray.cases"
"""Tag with the name of the cases step whose cases a student was trained and tested on."""
LEVEL = 0.025
"""Greatest one-sided p-value of a new champion: half of the 5 % that a 95 % interval leaves out."""
FEWEST_GROUPS = 6
"""Smallest number of groups of test cases with which a sign-flip test can reach `LEVEL`."""


@dataclass(frozen=True)
class Decision:
    """Decision about a student, with its reason.

    `against` is the champion that it was compared with, and `interval` that of their paired
    difference in `metric`, positive if the new student is better. `p_value` is one-sided: the
    probability of such a difference between equally good students. All three may be None.
    """

    version: int
    champion: bool
    reason: str
    metric: str
    against: int | None = None
    interval: Interval | None = None
    p_value: float | None = None


class Comparison(NamedTuple):
    """Comparison of two students on the same cases.

    It has the paired difference, the one-sided p-value of a sign-flip test and the number of groups
    of cases.
    """

    interval: Interval
    p_value: float
    groups: int


def promote(config: Config, say: Callable[[str], None], *, force: bool = False) -> Decision:
    """Register the student of a complete calibrate step and choose its alias.

    Args:
        config: the run's config.
        say: prints a line.
        force: make the student the champion without a comparison.

    Raises:
        RegistryError: the registry cannot be read or written. The same command continues later.
    """
    planned = pipeline.plan(config)
    item, cases = planned["calibrate"], planned["cases"].folder
    manifest = read_manifest(item.folder)
    assert manifest is not None  # the caller brought the step up to date
    name = config.promotion.model_name or default_name(config)
    registry = Registry(tracking_uri(config.tracking.uri, config.store), config.tracking.experiment)
    champion = registry.champion(name)
    files = [*manifest.facts["files"], answer_calibration.FILE, CARD]
    key = f"{item.folder.name}-{sha256(*(item.folder / file for file in files))[:8]}"
    version = registry.register(name, key, item.folder, files, _lineage(config, manifest))
    work = Path(config.store).absolute() / f"promote-{item.key}"
    work.mkdir(parents=True, exist_ok=True)
    if champion is not None and champion.number == version.number:
        say(f"{name} version {version.number} is the champion already")
        return Decision(version.number, True, "champion already", config.promotion.metric)
    decision = _decide(config, registry, version, champion, (item.folder, cases, work), say, force)
    registry.tag(version, _decision_tags(decision))
    (registry.promote if decision.champion else registry.challenge)(version)
    write_json(work / DECISION, asdict(decision))
    alias = "champion" if decision.champion else "challenger"
    say(f"{name} version {version.number} is {alias} in {registry.address}: {decision.reason}")
    return decision


def default_name(config: Config) -> str:
    """Return the default name of the registered model: `mint-text` or `mint-vision`."""
    return "mint-vision" if TASKS[config.task].input_modality == "image" else "mint-text"


def _decide(
    config: Config,
    registry: Registry,
    version: Version,
    champion: Version | None,
    folders: tuple[Path, Path, Path],
    say: Callable[[str], None],
    force: bool,
) -> Decision:
    metric = config.promotion.metric
    if champion is None:
        return Decision(version.number, True, "there was no champion", metric)
    if force:
        return Decision(version.number, True, "forced", metric, champion.number)
    student, cases, work = folders
    say(f"ranking the same test cases with version {champion.number}, the champion")
    comparison = compare_students(config, registry, champion, student, cases, work, say)
    interval = comparison.interval
    reason = (
        f"{metric} {interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}] against "
        f"version {champion.number} on {interval.n} test cases of {comparison.groups} groups, "
        f"p {comparison.p_value:.2g}"
    )
    if comparison.groups < FEWEST_GROUPS:
        reason += f"; with fewer than {FEWEST_GROUPS} groups p cannot be as low as {LEVEL}"
    if champion.tags.get(CASES) != cases.name:
        reason += "; that version may have been trained on some of these cases"
    better = comparison.p_value <= LEVEL and interval.low > 0
    return Decision(
        version.number, better, reason, metric, champion.number, interval, comparison.p_value
    )


def compare_students(
    config: Config,
    registry: Registry,
    champion: Version,
    student: Path,
    cases: Path,
    work: Path,
    say: Callable[[str], None],
) -> Comparison:
    """Return the paired difference student − champion over the test groups; more is better.

    Args:
        student: folder of the calibrate step of the new student.
        cases: folder of the cases step.
        work: folder for the champion's files and scores, with which a repeated command continues.
        say: prints a line.

    Raises:
        RegistryError: the champion cannot be read, or cannot rank all test cases.
    """
    # Named by content: the same version number is another student in another registry.
    folder = work / champion.tags.get(KEY, f"version-{champion.number}")
    source = f"{SCHEME}{champion.name}/{champion.number}"
    downloaded = registry.download(source, folder / "student")
    if not can_rank(downloaded, cases / CATALOGUE):
        raise RegistryError(
            f"version {champion.number} of {champion.name} is joined with look-ups on another "
            "catalogue, found other labels in these cases; --force promotes without a comparison"
        )
    scores = scored_cases(pq.read_table(student / TESTED))
    begin_session(config.resources, say)
    wanted = frozenset(scores.case_ids)
    theirs = scored_cases(score_cases(config, downloaded, cases, wanted, folder / SCORES))
    if theirs.case_ids != scores.case_ids:
        raise RegistryError(
            f"expected version {champion.number} of {champion.name} to rank all {len(scores)} test "
            f"cases, found {len(theirs)} that it can; --force promotes without a comparison"
        )
    metric = config.promotion.metric
    sign = -1.0 if metric == "nll" else 1.0
    difference = sign * (_values(student, scores, metric) - _values(downloaded, theirs, metric))
    return Comparison(
        mean_interval(difference, scores.groups, config.evaluation.bootstrap_samples, config.seed),
        sign_flip_p_value(difference, scores.groups, config.seed),
        len(np.unique(scores.groups)),
    )


def can_rank(student: Path, catalogue: Path) -> bool:
    """Return whether a student can rank a catalogue: with look-ups, only its own."""
    return (
        ranked_by(student) == "student"
        or Catalogue.read(student / CATALOGUE).ids == Catalogue.read(catalogue).ids
    )


def _values(folder: Path, cases: ScoredCases, metric: str) -> NDArray[np.float64]:
    calibration = read_calibration(folder)
    return case_values(cases, calibration.temperature if calibration else 1.0)[metric]


def _lineage(config: Config, manifest: Manifest) -> Mapping[str, str]:
    """Return tags that say what a student was made from: names of steps, which hold content hashes.

    Pairs, base model and objective are read from the student, not from the config: a campaign may
    search their settings.
    """
    steps = {name: item.folder for name, item in pipeline.plan(config).items()}
    source = config.promotion.source
    info = read_info(steps["calibrate"])
    prefer = steps["prefer"].with_name(info.lineage.get("prefer", steps["prefer"].name))
    pairs, train = read_manifest(prefer), prefer / "train.parquet"
    tags = {
        "task": config.task,
        "base_model": info.base_model,
        "base_revision": info.base_revision or "",
        "objective": info.objective or config.training.objective,
        "mint_ray.student": steps[source].name,
        CASES: steps["cases"].name,
        "mint_ray.pairs": prefer.name,
        "mint_ray.pairs_sha256": sha256(train) if train.is_file() else "",
        "mint_ray.teacher": str(pairs.facts.get("teacher", "")) if pairs else "",
    }
    campaign = read_manifest(steps[source]) if source == "tune" else None
    if campaign is not None:
        tags["mint_ray.campaign"] = steps[source].name
        tags["mint_ray.trial"] = str(campaign.facts["winner"])
        tags |= {f"chosen.{k}": str(v) for k, v in campaign.facts["overrides"].items()}
    numbers = {name: f"{value:.4f}" for name, value in manifest.metrics.items()}
    return {key: value for key, value in tags.items() if value} | numbers


def _decision_tags(decision: Decision) -> dict[str, object]:
    tags: dict[str, object] = {"decision": decision.reason}
    if decision.against is not None:
        tags["compared_with"] = decision.against
    return tags
