"""Registry of training objectives: pure functions of per-completion log-probabilities.

An objective returns *sums*; the trainer divides them by the tokens and units of the whole
optimizer step (`training.loss_normalisation`). To add an objective, write its function and a line
in `OBJECTIVES` with the completions that it compares and the inputs that it needs.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mint_ray.config.training import TrainingConfig
from mint_ray.students.logprobs.examples import CompletionKind
from mint_ray.students.objectives.losses import LossTerms, ScoredBatch, cft, dpo, orpo, rcft, sft


@dataclass(frozen=True)
class Objective:
    """One entry of the registry.

    `terms` computes the loss's sums, and `compares` names the completions of an example.
    `prompt_likelihood` says whether the likelihood term covers the prompt (None:
    `training.nll_on` decides); `likelihood` is False where there is no such term. `smooths` says
    whether that term takes `training.label_smoothing`. `reference` asks for log-probabilities at
    step 0, `measures` for the calibration of the starting student, `bins` for an E-step before
    every epoch.
    """

    terms: Callable[[ScoredBatch, TrainingConfig], LossTerms]
    compares: CompletionKind
    reference: bool = False
    prompt_likelihood: bool | None = None
    likelihood: bool = True
    smooths: bool = False
    measures: bool = False
    bins: bool = False


OBJECTIVES: dict[str, Objective] = {
    "orpo": Objective(orpo, "pairs", smooths=True),
    "dpo": Objective(dpo, "pairs", reference=True, prompt_likelihood=False, likelihood=False),
    "sft": Objective(sft, "chosen", smooths=True),
    "cft": Objective(cft, "candidates", prompt_likelihood=False, measures=True),
    "rcft": Objective(rcft, "candidates", prompt_likelihood=True, measures=True, bins=True),
}
