"""Objectives of alignment: ORPO, DPO, SFT, CFT and RCFT as sums over a micro-batch."""

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
from mint_ray.students.objectives.rcft import TARGETS, CaseBins, calibration_terms


@dataclass(frozen=True)
class LossTerms:
    """Sums of an objective over a micro-batch.

    Loss = `token_sum` / tokens of the likelihood term + `unit_sum` / units (pairs, or cases
    where there are none). `metrics` are detached sums over units, under TRL's names.
    """

    token_sum: Tensor
    unit_sum: Tensor
    metrics: dict[str, Tensor]


@dataclass(frozen=True)
class ScoredBatch:
    """A micro-batch of B examples with N completions, and the policy's log-probabilities.

    `reference` (N,) are the summed log-probabilities under the policy at step 0, `bins` the
    examples' bins of the last E-step. Each is None where the objective does not need it.
    """

    examples: Sequence[Example]
    logps: Logps
    reference: Tensor | None = None
    bins: CaseBins | None = None

    @cached_property
    def starts(self) -> list[int]:
        """Index of each example's first completion among the N."""
        sizes = [len(example.completions) for example in self.examples]
        return [0, *accumulate(sizes[:-1])]

    @cached_property
    def pairs(self) -> tuple[Tensor, Tensor]:
        """Indices among the N of the chosen (P,) and of the rejected (P,) completions."""
        pairs = [
            (start + chosen, start + rejected)
            for start, example in zip(self.starts, self.examples, strict=True)
            for chosen, rejected in example.preference_pairs
        ]
        indices = torch.tensor(pairs, device=self.logps.sums.device).view(-1, 2)
        return indices[:, 0], indices[:, 1]

    def mean_logps(self, without_header: bool = False) -> Tensor:
        """Return the mean token log-probability (N,) of each completion, in nats.

        Args:
            without_header: whether to leave out the tokens that all answers begin with.
        """
        sums, counts, headers = self.logps.sums, self.logps.counts, self.logps.header_sums
        if not without_header or headers is None:
            return sums / counts
        sizes = torch.tensor([len(e.completions) for e in self.examples], device=sums.device)
        lengths = torch.tensor([example.header for example in self.examples], device=sums.device)
        own = counts - lengths.repeat_interleave(sizes)
        return (sums - headers.repeat_interleave(sizes)) / own

    def negative_log_likelihood(self, smoothing: float = 0.0) -> Tensor:
        """Return minus the summed log-probability of the examples' likelihood terms.

        An example whose likelihood runs over no completion has that of its prompt alone.

        Args:
            smoothing: weight of the mean log-probability of all tokens of the vocabulary, which
                takes that part of each token's own (Szegedy et al., "Rethinking the Inception
                Architecture for Computer Vision", arXiv 1512.00567).

        Raises:
            ValueError: there is smoothing, and the log-probabilities came without those means.
        """
        logps = self.logps
        plain = self._summed(logps.sums, logps.prompt_sums)
        if not smoothing:
            return -plain
        if logps.mean_sums is None or logps.mean_prompt_sums is None:
            raise ValueError("label smoothing: expected `mean_sums`; score with `with_means`")
        means = self._summed(logps.mean_sums, logps.mean_prompt_sums)
        return -((1.0 - smoothing) * plain + smoothing * means)

    def _summed(self, sums: Tensor, prompt_sums: Tensor) -> Tensor:
        """Add up the values of completions (N,) and prompts (B,) that the likelihood runs over."""
        terms = [
            (start + local, row)
            for row, (start, example) in enumerate(zip(self.starts, self.examples, strict=True))
            for local in example.nll_completions
        ]
        # Completion and prompt of each term; a prompt counts as often as its completions do.
        indices = torch.tensor(terms, device=self.logps.sums.device, dtype=torch.long).view(-1, 2)
        alone = [row for row, example in enumerate(self.examples) if not example.nll_completions]
        prompts = prompt_sums[indices[:, 1]].sum() + prompt_sums[alone].sum()
        return sums[indices[:, 0]].sum() + prompts


def orpo(scored: ScoredBatch, settings: TrainingConfig) -> LossTerms:
    """Compute ORPO: NLL - lambda * mean log sigmoid(log odds(chosen) - log odds(rejected)).

    Hong et al., "ORPO: Monolithic Preference Optimization without Reference Model",
    arXiv 2403.07691, equations 6 and 7; log odds of the mean token log-probability. The NLL
    runs over the chosen answer, and over the prompt where `training.nll_on` says so. Rewards
    are lambda * mean log-probability, as in TRL. `training.odds_over` can leave the tokens that all
    answers begin with out of the mean.
    """
    mean_logps = scored.mean_logps(without_header=settings.odds_over == "names")
    chosen, rejected = (mean_logps[indices] for indices in scored.pairs)
    odds = log_odds(chosen) - log_odds(rejected)
    log_ratio = F.logsigmoid(odds)
    weight = settings.orpo_lambda
    metrics = _preference_metrics(weight * chosen, weight * rejected, chosen, rejected)
    metrics |= {"log_odds_ratio": log_ratio.sum(), "log_odds_chosen": odds.sum()}
    likelihood = scored.negative_log_likelihood(settings.label_smoothing)
    return _terms(likelihood, -weight * log_ratio.sum(), metrics)


def dpo(scored: ScoredBatch, settings: TrainingConfig) -> LossTerms:
    """Compute DPO: - log sigmoid(beta * (log ratio(chosen) - log ratio(rejected))).

    Rafailov et al., "Direct Preference Optimization", arXiv 2305.18290, equation 7; a log
    ratio is the answer's summed log-probability minus that of the reference, the policy at
    step 0. Rewards are beta * log ratio.
    """
    if scored.reference is None:
        raise ValueError("dpo: expected reference log-probabilities, found None; pass `reference`")
    rewards = settings.dpo_beta * (scored.logps.sums - scored.reference)
    chosen, rejected = (rewards[indices] for indices in scored.pairs)
    sums = (scored.logps.sums[indices] for indices in scored.pairs)
    loss = -F.logsigmoid(chosen - rejected).sum()
    return _terms(_zero(loss), loss, _preference_metrics(chosen, rejected, *sums))


def sft(scored: ScoredBatch, settings: TrainingConfig) -> LossTerms:
    """Compute SFT: negative log-likelihood of the chosen answer, or of the known (`sft_on`).

    The likelihood term of ORPO alone; MINT's baseline (arXiv 2505.05736) uses the chosen answer.
    """
    loss = scored.negative_log_likelihood(settings.label_smoothing)
    mean_logps = scored.mean_logps()
    return _terms(loss, _zero(loss), {"logps/chosen": mean_logps.sum()})


def cft(scored: ScoredBatch, settings: TrainingConfig) -> LossTerms:
    """Compute CFT: negative log-likelihood of the known answer at the first list position.

    Xiao et al., "Restoring Calibration for Aligned Large Language Models", arXiv 2505.01997:
    calibration-aware fine-tuning on the answer's name alone. An example whose known answer is not
    among its candidates adds nothing to the loss; it counts as wrong in the metrics.
    """
    loss = scored.negative_log_likelihood()
    return _terms(loss, _zero(loss), _candidate_metrics(scored))


def rcft(scored: ScoredBatch, settings: TrainingConfig) -> LossTerms:
    """Compute RCFT: NLL of prompt and known answer + `rcft_weight` * calibration term.

    The regularised form of the paper of `cft`. `rcft.calibration_terms` states the second term;
    every example's bin, and that bin's accuracy, are those of the last E-step. An example whose
    known answer is not among its candidates has the NLL of its prompt alone: its probabilities are
    those of a choice among wrong answers, so they are not pulled anywhere.
    """
    if scored.bins is None:
        raise ValueError("rcft: expected the bins of an E-step, found None; pass `bins`")
    loss = scored.negative_log_likelihood()
    targets = TARGETS[settings.rcft_targets]
    terms = [
        calibration_terms(F.log_softmax(sums, -1), scored.bins, example.index, targets)
        for example, sums in zip(scored.examples, _by_example(scored), strict=True)
        if example.gold is not None
    ]
    calibration = torch.stack(terms).sum() if terms else _zero(loss)
    metrics = _candidate_metrics(scored) | {"calibration_loss": calibration}
    return _terms(loss, settings.rcft_weight * calibration, metrics)


def _terms(token_sum: Tensor, unit_sum: Tensor, metrics: dict[str, Tensor]) -> LossTerms:
    return LossTerms(token_sum, unit_sum, {name: value.detach() for name, value in metrics.items()})


def _zero(like: Tensor) -> Tensor:
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
    """Sum the top confidence over the candidates, and how often the known answer has it."""
    tops = [sums.detach().softmax(-1).max(-1) for sums in _by_example(scored)]
    correct = [
        float(int(top.indices) == example.gold)
        for top, example in zip(tops, scored.examples, strict=True)
    ]
    return {
        "confidence": torch.stack([top.values for top in tops]).sum(),
        "accuracy": tops[0].values.new_tensor(correct).sum(),
    }
