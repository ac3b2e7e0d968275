"""Typed configuration tree.

It has one class per section and one docstring per field (unit and range included). Unknown keys
are refused; `load` reads a file. Settings that change a result live in the section of the stage
that they change, and are part of that stage's hash. Settings that only decide where work runs live
in `resources` and `tracking`, and are not part of a hash.
"""

from typing import Literal

from pydantic import Field, model_validator

from mint_ray.config.base import Section
from mint_ray.config.baselines.reasoning import ReasoningConfig
from mint_ray.config.baselines.retrieval import RetrievalConfig
from mint_ray.config.cases import (
    CasesConfig,
    ImagesConfig,
    KnowledgeConfig,
    NoteColumnsConfig,
    SimulationConfig,
    TilesConfig,
)
from mint_ray.config.checks import check_batch_size
from mint_ray.config.evaluation import CompareConfig, EvaluationConfig, SystemConfig
from mint_ray.config.preferences import PreferencesConfig
from mint_ray.config.promotion import PromotionConfig
from mint_ray.config.resources import ResourcesConfig, TrackingConfig
from mint_ray.config.serving import ServingConfig
from mint_ray.config.teacher import (
    ClipConfig,
    EndpointConfig,
    GestaltMMLConfig,
    ScoresConfig,
    ServerConfig,
    TeacherConfig,
)
from mint_ray.config.training import StudentConfig, TrainingConfig
from mint_ray.config.tune import TuneConfig

__all__ = [
    "CasesConfig",
    "ClipConfig",
    "CompareConfig",
    "Config",
    "EndpointConfig",
    "EvaluationConfig",
    "GestaltMMLConfig",
    "ImagesConfig",
    "KnowledgeConfig",
    "NoteColumnsConfig",
    "PreferencesConfig",
    "PromotionConfig",
    "ReasoningConfig",
    "ResourcesConfig",
    "RetrievalConfig",
    "ScoresConfig",
    "Section",
    "ServerConfig",
    "ServingConfig",
    "SimulationConfig",
    "StudentConfig",
    "SystemConfig",
    "TeacherConfig",
    "TilesConfig",
    "TrackingConfig",
    "TrainingConfig",
    "TuneConfig",
]


class Config(Section):
    """Settings of a whole run."""

    name: str = "run"
    """Short name of the run, shown to people."""
    store: str = "runs"
    """Folder that holds the outputs of all steps."""
    seed: int = Field(0, ge=0)
    """Seed of all random draws."""
    task: Literal["disease", "gene", "own", "tissue"] = "disease"
    """`disease` names rare diseases from a note, `gene` the causative gene, `own` the answers of
    `cases.answers`. `tissue` names the tissue from an image alone."""
    cases: CasesConfig = CasesConfig()
    knowledge: KnowledgeConfig = KnowledgeConfig()
    teacher: TeacherConfig = TeacherConfig()
    preferences: PreferencesConfig = PreferencesConfig()
    student: StudentConfig = StudentConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    compare: CompareConfig = CompareConfig()
    tune: TuneConfig = TuneConfig()
    promotion: PromotionConfig = PromotionConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    reasoning: ReasoningConfig = ReasoningConfig()
    serving: ServingConfig = ServingConfig()
    resources: ResourcesConfig = ResourcesConfig()
    tracking: TrackingConfig = TrackingConfig()

    @property
    def training_seed(self) -> int:
        """Seed of the training, which is that of the run unless it has its own."""
        return self.seed if self.training.seed is None else self.training.seed

    @model_validator(mode="after")
    def _whole_models_are_averaged(self) -> "Config":
        if self.training.members > 1 and self.student.adapter != "full":
            raise ValueError(
                f"training.members={self.training.members}: expected student.adapter=full, found "
                f"{self.student.adapter}; the two matrices of an adapter have no mean together"
            )
        return self

    @model_validator(mode="after")
    def _source_fits_task(self) -> "Config":
        images = self.cases.source in ("tiles", "images", "pannuke")
        patients = self.cases.source in ("simulated", "phenopackets", "notes")
        if (images and self.task != "tissue") or (patients and self.task == "tissue"):
            raise ValueError(
                f"task={self.task} does not fit cases.source={self.cases.source}: expected "
                "disease or gene for simulated, phenopackets and notes, own for notes, tissue for "
                "tiles, images and pannuke, disease or tissue for parquet"
            )
        if (self.task == "own") is not (self.cases.answers is not None):
            raise ValueError(
                f"cases.answers={self.cases.answers}: expected a table of answers with task=own, "
                f"and none with another task, found task={self.task}"
            )
        if self.task in ("gene", "own"):
            self._check_other_answers()
        if self.cases.simulated_per_disease and self.task == "tissue":
            raise ValueError(
                f"cases.simulated_per_disease={self.cases.simulated_per_disease}: expected "
                "task=disease, since patients are simulated, found task=tissue"
            )
        made = self.cases.renderings > 1 or self.cases.recombined_per_disease
        if made and self.task == "tissue":
            raise ValueError(
                f"cases.renderings={self.cases.renderings} and cases.recombined_per_disease="
                f"{self.cases.recombined_per_disease}: expected task=disease, since the findings "
                "of patients are varied, found task=tissue"
            )
        return self

    def _check_other_answers(self) -> None:
        """Raise ValueError for cases that do not state such answers, or that need annotations."""
        cases = self.cases
        stating = ("notes",) if self.task == "own" else ("simulated", "phenopackets", "notes")
        if cases.source not in stating:
            raise ValueError(
                f"task={self.task}: expected cases.source {' or '.join(stating)}, which states "
                f"such answers, found {cases.source}"
            )
        if cases.simulated_per_disease or cases.recombined_per_disease:
            raise ValueError(
                f"cases.simulated_per_disease={cases.simulated_per_disease} and "
                f"cases.recombined_per_disease={cases.recombined_per_disease}: expected 0 for "
                f"task={self.task}, since annotations are of diseases"
            )

    @model_validator(mode="after")
    def _batch_fits_workers(self) -> "Config":
        workers = self.resources.train_workers
        check_batch_size(
            self.training.batch_size,
            self.resources.micro_batch_size,
            max(workers) if isinstance(workers, tuple) else workers,
            even=self.training.deepspeed != "off",
        )
        return self

    @model_validator(mode="after")
    def _trl_trains_text_by_orpo(self) -> "Config":
        training, workers = self.training, self.resources.train_workers
        found = (training.objective, self.task, workers)
        if training.trainer == "trl" and found != ("orpo", "disease", 1):
            raise ValueError(
                "training.trainer=trl: expected training.objective=orpo, task=disease and "
                f"resources.train_workers=1, found {training.objective}, {self.task} and {workers}"
            )
        if training.trainer == "trl" and training.label_smoothing:
            raise ValueError(
                "training.trainer=trl: expected training.label_smoothing=0, since TRL's trainer of "
                f"ORPO does not smooth labels, found {training.label_smoothing}"
            )
        if training.trainer == "trl" and training.odds_over != "answer":
            raise ValueError(
                "training.trainer=trl: expected training.odds_over=answer, since TRL's odds are "
                f"those of whole answers, found {training.odds_over}"
            )
        return self

    @model_validator(mode="after")
    def _elastic_without_deepspeed(self) -> "Config":
        workers = self.resources.train_workers
        if isinstance(workers, tuple) and workers[0] > workers[1]:
            raise ValueError(f"resources.train_workers={list(workers)}: expected [least, most]")
        if isinstance(workers, tuple) and self.training.deepspeed != "off":
            raise ValueError(
                f"resources.train_workers={list(workers)} needs training.deepspeed=off (found "
                f"{self.training.deepspeed}): its optimizer shards fit one number of workers"
            )
        return self

    @model_validator(mode="after")
    def _store_is_local(self) -> "Config":
        if "://" in self.store:
            raise ValueError(
                f"store={self.store}: object-store URIs are not supported yet; use a local "
                "path or a mounted one that every node sees"
            )
        return self
