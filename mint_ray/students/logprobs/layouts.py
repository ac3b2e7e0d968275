"""Log-probabilities of examples' completions, in two layouts of the same computation.

`padded`: every completion is a sequence of its own, and the prompt is computed once for each of
them. This is the readable reference, on the model's own logits. `prefix_shared`: the prompt is
computed once, then its completions, each seeing the prompt and itself only. Several examples share
a row where they fit, and the head is computed on the needed tokens only, in chunks.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from mint_ray.students.encoding.vision_inputs import (
    can_stand_together,
    check_shareable,
    image_inputs,
    prompt_positions,
    token_inputs,
)
from mint_ray.students.logprobs.chunked_head import (
    mean_logps,
    select_logps,
    token_and_mean_logps,
    token_logps,
)
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.packing import PADDING, first_fit, own_tokens, pack, with_grids
from mint_ray.students.logprobs.prefixes import compute_prefix, shared_beginning
from mint_ray.students.logprobs.varlen_attention import VARLEN, Line

FLEX = "flex_attention"


class Logps(NamedTuple):
    """Summed token log-probabilities, in nats, of B examples with N completions in all.

    `prompt_sums` (B,) cover the prompts' tokens except the first, which no token predicts, and
    except image tokens. They are zero where the likelihood does not need them. `header_sums` cover
    the first `Example.header` tokens of each of the example's completions. `mean_sums` and
    `mean_prompt_sums` have the mean log-probability of all tokens of the vocabulary in place of
    that of each token; None where they are not asked for.
    """

    sums: Tensor  # (N,) float, examples one after the other
    counts: Tensor  # (N,) tokens
    prompt_sums: Tensor  # (B,) float
    header_sums: Tensor | None = None  # (B,) float; None without any header
    mean_sums: Tensor | None = None  # (N,) float
    mean_prompt_sums: Tensor | None = None  # (B,) float


Layout = Callable[[Any, Sequence[Example], bool, bool], Logps]


def padded_logps(
    model: Any, examples: Sequence[Example], with_prompt: bool, with_means: bool = False
) -> Logps:
    """Score every completion as a right-padded sequence: N sequences in one forward pass.

    Args:
        model: causal or image-and-text language model, PEFT-wrapped or not.
        examples: B examples.
        with_prompt: also score the prompts' tokens.
        with_means: also give `mean_sums` and `mean_prompt_sums`.
    """
    if not can_stand_together([example.vision_inputs for example in examples]):
        return _joined([padded_logps(model, [e], with_prompt, with_means) for e in examples])
    device = next(model.parameters()).device
    rows = [(*example.prompt, *answer) for example in examples for answer in example.completions]
    ids = _padded(rows, device)
    ends = torch.tensor([[len(row)] for row in rows], device=device)
    starts = torch.tensor([[len(e.prompt)] for e in examples for _ in e.completions], device=device)
    positions = torch.arange(ids.shape[1], device=device)
    vision_inputs = [example.vision_inputs for example in examples for _ in example.completions]
    per_token = token_inputs(vision_inputs, [len(row) for row in rows])
    logits = model(
        input_ids=ids,
        attention_mask=(positions < ends).long(),
        use_cache=False,
        **image_inputs(vision_inputs, model),
        **{name: value.to(device) for name, value in per_token.items()},
    ).logits
    in_completion = (positions[1:] >= starts) & (positions[1:] < ends)
    # The prompt is the same before every completion: it is read off the first.
    sizes = torch.tensor([0, *(len(e.completions) for e in examples[:-1])], device=device)
    first = sizes.cumsum(0)
    in_prompt = torch.zeros(len(examples), ids.shape[1], dtype=torch.bool, device=device)
    for row, example in zip(in_prompt, examples, strict=True):
        row[list(example.prompt_targets)] = with_prompt

    headers = torch.tensor([[example.header] for example in examples], device=device)
    in_header = in_completion[first] & (positions[1:] < starts[first] + headers)

    def sums_of(logps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # Logits are one shorter than the ids: the first token has none.
        prompts = torch.where(in_prompt[:, 1:], logps[first], 0.0).sum(-1)
        in_headers = torch.where(in_header, logps[first], 0.0).sum(-1)
        return torch.where(in_completion, logps, 0.0).sum(-1), prompts, in_headers

    sums, prompt_sums, header_sums = sums_of(select_logps(logits[:, :-1], ids[:, 1:]))
    means = sums_of(mean_logps(logits[:, :-1]))[:2] if with_means else ()
    return Logps(sums, in_completion.sum(-1), prompt_sums, header_sums, *means)


def prefix_shared_logps(
    model: Any, examples: Sequence[Example], with_prompt: bool, with_means: bool = False
) -> Logps:
    """Score each prompt once, with its images, then its completions; see `padded_logps`.

    What all prompts start with is computed once for all of them, unless it is scored too.

    Examples share rows no longer than the longest of them. Where the model runs FlexAttention,
    they share a single row, and blocks that a token does not see are skipped. Under `VARLEN`, they
    stand in one line without padding.

    Raises:
        CannotShare: the model does not take images as tokens of the prompt.
    """
    parameter = next(model.parameters())
    base = base_of(model)
    vision_inputs = [example.vision_inputs for example in examples]
    check_shareable(vision_inputs)
    attention = attention_of(base)
    flex = attention == FLEX
    beginning = () if flex or with_prompt else shared_beginning(base, examples)
    if attention == VARLEN:
        rows = [[item] for item in range(len(examples))]
    else:
        lengths = [own_tokens(example, len(beginning)) for example in examples]
        rows = first_fit(lengths, sum(lengths) if flex else max(lengths))
    packed = pack(examples, rows, with_prompt, parameter.device, len(beginning))
    line = Line.of(packed.owners != PADDING) if attention == VARLEN else None
    grids = [prompt_positions(base, example.prompt, example.vision_inputs) for example in examples]
    without_grids = all(grid is None for grid in grids)
    ids = packed.ids
    positions = packed.positions if without_grids else with_grids(packed, grids)
    if line is not None:
        ids, positions = (values.flatten(-2)[..., None, line.places] for values in (ids, positions))
    cache = DynamicCache(compute_prefix(base, beginning).rows(len(ids))) if beginning else None
    hidden = base.base_model(
        input_ids=ids,
        position_ids=positions,
        attention_mask=packed.block_mask() if flex else packed.mask(parameter.dtype),
        past_key_values=cache,
        use_cache=cache is not None,
        # Models fill image tokens in the order in which they stand in the rows.
        **image_inputs([vision_inputs[item] for row in rows for item in row], base),
        **({} if line is None else {"line": line}),
    ).last_hidden_state
    sources = packed.sources if line is None else line.numbers[packed.sources]
    predicting = hidden.flatten(0, 1)[sources]
    targets = packed.ids.reshape(-1)[packed.targets]
    head = base.get_output_embeddings()
    split = len(examples)
    end = split + sum(len(example.completions) for example in examples)
    total = end + split

    def sums_of(logps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sums = logps.new_zeros(total).index_add(0, packed.slots, logps[packed.terms])
        return sums[split:end], sums[:split], sums[end:]

    counts = torch.bincount(packed.slots, minlength=total)[split:end]
    if not with_means:
        sums, prompt_sums, header_sums = sums_of(token_logps(predicting, head, targets))
        return Logps(sums, counts, prompt_sums, header_sums)
    logps, means = token_and_mean_logps(predicting, head, targets)
    sums, prompt_sums, header_sums = sums_of(logps)
    return Logps(sums, counts, prompt_sums, header_sums, *sums_of(means)[:2])


LAYOUTS: dict[str, Layout] = {"padded": padded_logps, "prefix_shared": prefix_shared_logps}


class Policy(nn.Module):
    """A language model whose forward pass gives `Logps`; engines wrap it."""

    def __init__(
        self, model: Any, layout: str, with_prompt: bool, with_means: bool = False
    ) -> None:
        super().__init__()
        self.model = model
        self.layout = layout
        self.with_prompt = with_prompt
        self.with_means = with_means

    def forward(self, examples: Sequence[Example]) -> Logps:
        """Score the completions of a micro-batch; see `padded_logps`."""
        return LAYOUTS[self.layout](self.model, examples, self.with_prompt, self.with_means)


def base_of(model: Any) -> Any:
    """Return the Hugging Face model inside a PEFT wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def attention_of(base: Any) -> str:
    """Return the name of the attention that a Hugging Face model runs."""
    return str(getattr(base.config, "_attn_implementation", "eager"))


def _joined(parts: Sequence[Logps]) -> Logps:
    """Join the sums of examples that were scored apart, all of them with means or none."""
    fields = zip(*(tuple(t for t in part if t is not None) for part in parts), strict=True)
    return Logps(*map(torch.cat, fields))


def _padded(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    length = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (length - len(row))] for row in rows], device=device)
