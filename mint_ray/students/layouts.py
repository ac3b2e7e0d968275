"""Log-probabilities of a prompt's completions, in two layouts of the same computation.

`plain`: every completion is a sequence of its own, the prompt computed once for each; the
readable reference, on the model's own logits. `shared`: one sequence per prompt, the prompt
once, then its completions, each seeing the prompt and itself only; the head is computed on
the needed positions only.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mint_ray.students.encoding import EncodedPair
from mint_ray.students.objectives import Logps

logger = logging.getLogger(__name__)

# Largest relative difference of summed log-probabilities at which `auto` shares prompts. In
# half precision the layouts round differently; a wrong mask is off by far more than this.
AGREEMENT = {torch.float32: 1e-4, torch.float64: 1e-4}
AGREEMENT_HALF = 2e-2

Layout = Callable[[Any, Sequence[EncodedPair], bool], Logps]


def plain_logps(model: Any, pairs: Sequence[EncodedPair], with_prompt: bool) -> Logps:
    """One right-padded sequence per completion; B·C sequences in one forward pass.

    Args:
        model: causal language model, PEFT-wrapped or not.
        pairs: B pairs with C completions each.
        with_prompt: also score the prompt's tokens (likelihood on prompt and chosen).
    """
    device = next(model.parameters()).device
    rows = [(*pair.prompt, *answer) for pair in pairs for answer in pair.completions]
    ids = _padded(rows, device)
    ends = torch.tensor([[len(row)] for row in rows], device=device)
    starts = torch.tensor([[len(p.prompt)] for p in pairs for _ in p.completions], device=device)
    places = torch.arange(ids.shape[1], device=device)
    logits = model(input_ids=ids, attention_mask=(places < ends).long(), use_cache=False).logits
    token_logps = _token_logps(logits[:, :-1], ids[:, 1:])
    answered = (places[1:] >= starts) & (places[1:] < ends)
    sums = torch.where(answered, token_logps, 0.0).sum(-1).view(len(pairs), -1)
    counts = answered.sum(-1).view(len(pairs), -1)
    if not with_prompt:
        return _without_prompt(sums, counts)
    prompted = places[1:] < starts
    prompt_sums = torch.where(prompted, token_logps, 0.0).sum(-1).view(len(pairs), -1)[:, 0]
    return Logps(sums, counts, prompt_sums, prompted.sum(-1).view(len(pairs), -1)[:, 0])


def shared_logps(model: Any, pairs: Sequence[EncodedPair], with_prompt: bool) -> Logps:
    """One right-padded sequence per prompt: the prompt, then each completion.

    Position ids restart after the prompt for every completion, and a 4-D mask hides the
    completions from one another; see `plain_logps` for arguments and result.
    """
    device = next(model.parameters()).device
    base = base_of(model)
    ids, positions, mask = shared_inputs(pairs, device)
    hidden = base.base_model(
        input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False
    ).last_hidden_state
    sources, targets, slots = _wanted(pairs, with_prompt, ids.shape[1])
    wanted = hidden.reshape(-1, hidden.shape[-1])[sources.to(device)]
    logits = base.get_output_embeddings()(wanted)
    token_logps = _token_logps(logits, ids.reshape(-1)[targets.to(device)])
    width = max(len(pair.completions) for pair in pairs) + 1
    empty = token_logps.new_zeros(len(pairs) * width)
    sums = empty.index_add(0, slots.to(device), token_logps).view(-1, width)
    counts = torch.bincount(slots, minlength=len(empty)).to(device).view(-1, width)
    if not with_prompt:
        return _without_prompt(sums[:, 1:], counts[:, 1:])
    return Logps(sums[:, 1:], counts[:, 1:], sums[:, 0], counts[:, 0])


LAYOUTS: dict[str, Layout] = {"plain": plain_logps, "shared": shared_logps}


class Policy(nn.Module):
    """A language model whose forward pass gives `Logps`: what DDP and DeepSpeed wrap."""

    def __init__(self, model: Any, layout: str, with_prompt: bool) -> None:
        super().__init__()
        self.model = model
        self.layout = layout
        self.with_prompt = with_prompt

    def forward(self, pairs: Sequence[EncodedPair]) -> Logps:
        """See `plain_logps`."""
        return LAYOUTS[self.layout](self.model, pairs, self.with_prompt)


def choose_layout(setting: str, model: Any, pair: EncodedPair) -> str:
    """`plain` or `shared` for `training.prefix_sharing`; `auto` compares them on a real pair.

    `auto` falls back to `plain` where log-probabilities differ by more than `AGREEMENT`
    (relative) or the model refuses a 4-D mask. The outcome is logged.
    """
    if setting != "auto":
        return "shared" if setting == "on" else "plain"
    difference = _disagreement(model, pair)
    allowed = AGREEMENT.get(next(model.parameters()).dtype, AGREEMENT_HALF)
    layout = "shared" if difference <= allowed else "plain"
    logger.info(
        "prefix sharing: %s (layouts differ by %.1e, allowed %.0e)",
        "on" if layout == "shared" else "off",
        difference,
        allowed,
    )
    return layout


def _disagreement(model: Any, pair: EncodedPair) -> float:
    """Largest relative difference between the layouts' sums; inf where one cannot be computed."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            plain = plain_logps(model, [pair], with_prompt=True)
            shared = shared_logps(model, [pair], with_prompt=True)
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        logger.info("shared layout is not possible: %s", type(error).__name__)
        return float("inf")
    finally:
        model.train(was_training)
    a = torch.cat([plain.sums.flatten(), plain.prompt_sums]).double()
    b = torch.cat([shared.sums.flatten(), shared.prompt_sums]).double()
    return float(((a - b).abs() / a.abs().clamp(min=1e-6)).max())


def shared_inputs(
    pairs: Sequence[EncodedPair], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids (B, L), position ids (B, L) and boolean mask (B, 1, L, L) of the shared layout."""
    rows, positions, segments = [], [], []
    for pair in pairs:
        start = len(pair.prompt)
        rows.append([*pair.prompt, *(token for answer in pair.completions for token in answer)])
        positions.append(list(range(start)))
        segments.append([0] * start)
        for number, answer in enumerate(pair.completions, start=1):
            positions[-1].extend(range(start, start + len(answer)))
            segments[-1].extend([number] * len(answer))
    # Padding is a segment of its own: it sees itself, so that no row of the mask is empty.
    segment = _padded(segments, device, value=-1)
    mine = segment[:, :, None] == segment[:, None, :]
    of_prompt = (segment == 0)[:, None, :] & (segment >= 0)[:, :, None]
    length = segment.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    return _padded(rows, device), _padded(positions, device), ((mine | of_prompt) & causal)[:, None]


def base_of(model: Any) -> Any:
    """The Hugging Face model inside a PEFT wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _wanted(
    pairs: Sequence[EncodedPair], with_prompt: bool, length: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Flat positions that predict, flat positions predicted, and the slot each is summed in.

    Slot b·(C+1) is the prompt of pair b, slot b·(C+1)+c its completion c (from 1).
    """
    sources, targets, slots = [], [], []
    width = max(len(pair.completions) for pair in pairs) + 1
    for row, pair in enumerate(pairs):
        start = len(pair.prompt)
        if with_prompt:
            targets += [row * length + at for at in range(1, start)]
            sources += [row * length + at - 1 for at in range(1, start)]
            slots += [row * width] * (start - 1)
        at = start
        for number, answer in enumerate(pair.completions, start=1):
            targets += [row * length + at + i for i in range(len(answer))]
            sources += [row * length + start - 1]
            sources += [row * length + at + i for i in range(len(answer) - 1)]
            slots += [row * width + number] * len(answer)
            at += len(answer)
    return torch.tensor(sources), torch.tensor(targets), torch.tensor(slots)


def _token_logps(logits: Tensor, ids: Tensor) -> Tensor:
    wide = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    return wide.gather(-1, ids[..., None]).squeeze(-1) - wide.logsumexp(-1)


def _without_prompt(sums: Tensor, counts: Tensor) -> Logps:
    return Logps(sums, counts, sums.new_zeros(len(sums)), counts.new_zeros(len(sums)))


def _padded(rows: Sequence[Sequence[int]], device: torch.device, value: int = 0) -> Tensor:
    length = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows], device=device)
