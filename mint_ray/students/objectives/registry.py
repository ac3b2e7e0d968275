"""Training objectives: pure functions of per-completion log-probabilities.

An objective returns *sums*; the trainer divides them by the tokens and units of the whole
optimizer step (`training.loss_normalisation`). Adding one is a function and a line in
`OBJECTIVES`: what it compares, and what it needs besides.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mint_ray.config.training import TrainingConfig
from mint_ray.students.logprobs.examples import CompletionKind
from mint_ray.students.objectives.losses import LossTerms, ScoredBatch, cft, dpo, orpo, rcft, sft


@dataclass(frozen=True)
class Objective:
    """One entry of the registry.

    `prompt_likelihood` puts the prompt into the likelihood term whatever `training.nll_on` says
    (None: as it says); `likelihood` is False where there is no such term. `reference` asks for
    log-probabilities at step 0, `measures` for the calibration of the starting student, `bins`
    for an E-step before every epoch.
    """

    terms: Callable[[ScoredBatch, TrainingConfig], LossTerms]
    compares: CompletionKind
    reference: bool = False
    prompt_likelihood: bool | None = None
    likelihood: bool = True
    measures: bool = False
    bins: bool = False


OBJECTIVES: dict[str, Objective] = {
    "orpo": Objective(orpo, "pairs"),
    "dpo": Objective(dpo, "pairs", reference=True, prompt_likelihood=False, likelihood=False),
    "sft": Objective(sft, "chosen"),
    "cft": Objective(cft, "candidates", prompt_likelihood=False, measures=True),
    "rcft": Objective(rcft, "candidates", prompt_likelihood=True, measures=True, bins=True),
}
