"""Losses."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from mint_ray.config.training import TrainingConfig
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layouts import Logps
from mint_ray.students.objectives.odds import log_odds
from mint_ray.students.objectives.rcft import CaseBins, calibration_terms


@dataclass(frozen=True)
class LossTerms:
    """Sums over a micro-batch.

    Loss = `token_sum` / tokens of the likelihood term + `unit_sum` / units (pairs, or cases
    where there are none). `metrics` are detached sums over units, under TRL's names.
    """

    token_sum: Tensor
    unit_sum: Tensor
    metrics: dict[str, Tensor]


@dataclass(frozen=True)
class ScoredBatch:
    """What the policy says about a micro-batch of B examples with N completions.

    `reference` (N,) are the summed log-probabilities under the policy at step 0, `bins` what
    the last E-step found out about each example; None where the objective needs neither.
    """

    examples: Sequence[Example]
    logps: Logps
    reference: Tensor | None = None
    bins: CaseBins | None = None

    @cached_property
    def starts(self) -> list[int]:
        """Place of each example's first completion among the N."""
        sizes = [len(example.completions) for example in self.examples]
        return [0, *accumulate(sizes[:-1])]

    @cached_property
    def pairs(self) -> tuple[Tensor, Tensor]:
        """(P,) places of the chosen and (P,) of the rejected completions."""
        both = [
            (start + chosen, start + rejected)
            for start, example in zip(self.starts, self.examples, strict=True)
            for chosen, rejected in example.preference_pairs
        ]
        places = torch.tensor(both, device=self.logps.sums.device).view(-1, 2)
        return places[:, 0], places[:, 1]

    def negative_log_likelihood(self) -> Tensor:
        """Minus the log-probability of what each example's likelihood term runs over."""
        liked = [
            (start + place, number)
            for number, (start, example) in enumerate(zip(self.starts, self.examples, strict=True))
            for place in example.nll_completions
        ]
        places = torch.tensor(liked, device=self.logps.sums.device, dtype=torch.long).view(-1, 2)
        answers = self.logps.sums[places[:, 0]].sum()
        return -(answers + self.logps.prompt_sums[places[:, 1]].sum())


def orpo(scored: ScoredBatch, settings: TrainingConfig) -> LossTerms:
    """ORPO: NLL - lambda * mean log sigmoid(log odds(chosen) - log odds(rejected)).

    Hong et al., "ORPO: Monolithic Preference Optimization without Reference Model",
    arXiv 2403.07691, equations 6 and 7; log odds of the mean token log-probability. The NLL
    runs over the chosen answer, and over the prompt where `training.nll_on` says so. Rewards
    are lambda * mean log-probability, as in TRL.
    """
    mean_logps = scored.logps.sums / scored.logps.counts
    chosen, rejected = (mean_logps[places] for places in scored.pairs)
    odds = log_odds(chosen) - log_odds(rejected)
    log_ratio = F.logsigmoid(odds)
    weight = settings.orpo_lambda
    metrics = _preference_metrics(weight * chosen, weight * rejected, chosen, rejected)
    metrics |= {"log_odds_ratio": log_ratio.sum(), "log_odds_chosen": odds.sum()}
    return _terms(scored.negative_log_likelihood(), -weight * log_ratio.sum(), metrics)


def dpo(scored: ScoredBatch, settings: TrainingConfig) -> LossTerms:
    """DPO: - log sigmoid(beta * (log ratio(chosen) - log ratio(rejected))).

    Rafailov et al., "Direct Preference Optimization", arXiv 2305.18290, equation 7; a log
    ratio is the answer's summed log-probability minus that of the reference, the policy at
    step 0. Rewards are beta * log ratio.
    """
    if scored.reference is None:
        raise ValueError("dpo needs reference log-probabilities")
    rewards = settings.dpo_beta * (scored.logps.sums - scored.reference)
    chosen, rejected = (rewards[places] for places in scored.pairs)
    sums = (scored.logps.sums[places] for places in scored.pairs)
    loss = -F.logsigmoid(chosen - rejected).sum()
    return _terms(_nothing(loss), loss, _preference_metrics(chosen, rejected, *sums))


def sft(scored: ScoredBatch, settings: TrainingConfig) -> LossTerms:
    """SFT: negative log-likelihood of the chosen answer, or of the known one (`sft_on`).

    The likelihood term of ORPO alone; MINT's baseline (arXiv 2505.05736) uses the chosen answer.
    """
    loss = scored.negative_log_likelihood()
    mean_logps = scored.logps.sums / scored.logps.counts
    return _terms(loss, _nothing(loss), {"logps/chosen": mean_logps.sum()})


def cft(scored: ScoredBatch, settings: TrainingConfig) -> LossTerms:
    """CFT: negative log-likelihood of the known answer's name at the first list position.

    Xiao et al., "Restoring Calibration for Aligned Large Language Models", arXiv 2505.01997:
    calibration-aware fine-tuning on the answer alone. An example whose known answer is not
    among its candidates has nothing to maximise; it counts as wrong in the metrics.
    """
    loss = scored.negative_log_likelihood()
    return _terms(loss, _nothing(loss), _candidate_metrics(scored))


def rcft(scored: ScoredBatch, settings: TrainingConfig) -> LossTerms:
    """RCFT: joint likelihood of prompt and known answer + `rcft_weight` * calibration term.

    The same paper's regularised form; `calibration.calibration_terms` states the second term,
    with every example in the bin, and that bin's accuracy, of the last E-step.
    """
    if scored.bins is None:
        raise ValueError("rcft needs the bins of an E-step")
    loss = scored.negative_log_likelihood()
    terms = [
        calibration_terms(F.log_softmax(sums, -1), scored.bins, example.index)
        for example, sums in zip(scored.examples, _by_example(scored), strict=True)
    ]
    calibration = torch.stack(terms).sum()
    metrics = _candidate_metrics(scored) | {"calibration_loss": calibration}
    return _terms(loss, settings.rcft_weight * calibration, metrics)


def _terms(token_sum: Tensor, unit_sum: Tensor, metrics: dict[str, Tensor]) -> LossTerms:
    return LossTerms(token_sum, unit_sum, {name: value.detach() for name, value in metrics.items()})


def _nothing(like: Tensor) -> Tensor:
    return torch.zeros_like(like)


def _preference_metrics(
    chosen_rewards: Tensor, rejected_rewards: Tensor, chosen: Tensor, rejected: Tensor
) -> dict[str, Tensor]:
    return {
        "rewards/chosen": chosen_rewards.sum(),
        "rewards/rejected": rejected_rewards.sum(),
        "rewards/accuracies": (chosen_rewards > rejected_rewards).float().sum(),
        "rewards/margins": (chosen_rewards - rejected_rewards).sum(),
        "logps/chosen": chosen.sum(),
        "logps/rejected": rejected.sum(),
    }


def _by_example(scored: ScoredBatch) -> Sequence[Tensor]:
    sizes = [len(example.completions) for example in scored.examples]
    return torch.split(scored.logps.sums, sizes)


def _candidate_metrics(scored: ScoredBatch) -> dict[str, Tensor]:
    """Top confidence over the candidates, and whether the known answer has it."""
    tops = [sums.detach().softmax(-1).max(-1) for sums in _by_example(scored)]
    right = [
        float(int(top.indices) == example.gold)
        for top, example in zip(tops, scored.examples, strict=True)
    ]
    return {
        "confidence": torch.stack([top.values for top in tops]).sum(),
        "accuracy": tops[0].values.new_tensor(right).sum(),
    }
