"""Chat with a language model in this process, whose key-value cache is kept between turns."""

import math
from collections.abc import Sequence
from itertools import compress, takewhile
from typing import Any

import torch
from jinja2 import TemplateError
from torch import Tensor

from mint_ray.common.devices import pick_device, pick_dtype
from mint_ray.reasoning.engine import Conversation, NoReplyError, Reply
from mint_ray.reasoning.growing_cache import growing_cache
from mint_ray.students.models.base_models import (
    load_base_model,
    load_tokenizer,
    resolve_base_model,
)
from mint_ray.students.ranking.generation import Sampling
from mint_ray.tasks.prompts import break_token


class LocalChat:
    """A transformers model as a chat model, which replies to several conversations at a time.

    A turn computes only what its conversation does not share with one of the turn before it: the
    conversation so far, or the system message of another case.

    Args:
        model: a causal language model in evaluation mode.
        tokenizer: its tokenizer with a chat template.
        sampling: of the tokens; None for greedy decoding. The seed is set here and by `begin`.

    Attributes:
        tokens_computed: of prompts so far, those taken from the cache left out.
        tokens_shown: of prompts so far.
    """

    _ids: Tensor  # (rows, positions): tokens of the cache
    _used: Tensor  # (rows, positions): 1 where a token belongs to its row's conversation

    def __init__(self, model: Any, tokenizer: Any, sampling: Sampling | None = None) -> None:
        self._model, self._tokenizer, self._sampling = model, tokenizer, sampling
        self.tokens_computed = self.tokens_shown = 0
        self._forget()
        ends = model.generation_config.eos_token_id
        self._ends = [] if ends is None else ends if isinstance(ends, list) else [ends]
        special = {str(token) for token in tokenizer.all_special_tokens if len(str(token)) > 1}
        self._special = sorted(special, key=len)[::-1]
        if sampling is not None:
            torch.manual_seed(sampling.seed)

    def begin(self, seed: int) -> None:
        """Forget all conversations, so that the next ones depend on no earlier one.

        Args:
            seed: of the tokens that are drawn.
        """
        self._forget()
        torch.manual_seed(seed)

    def replies(self, conversations: Sequence[Conversation], max_new_tokens: int) -> list[Reply]:
        """Return the next turn of the assistant of each conversation.

        It is a `NoReplyError` `too_long` where conversation and reply do not fit into the model's
        context.
        """
        context = getattr(self._model.config, "max_position_embeddings", None) or math.inf
        prompts = [self._encode(messages) for messages in conversations]
        fits = [len(ids) + max_new_tokens <= context for ids in prompts]
        fitting = list(compress(prompts, fits))
        texts = iter(self._generate(fitting, max_new_tokens) if fitting else ())
        return [next(texts) if fit else NoReplyError("too_long") for fit in fits]

    def _generate(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[str]:
        shared = self._keep_shared(prompts)
        new = [list(ids[length:]) for ids, length in zip(prompts, shared, strict=True)]
        self.tokens_shown += sum(map(len, prompts))
        self.tokens_computed += sum(map(len, new))
        ids, used = _padded_left(new, self._tokenizer.pad_token_id)
        ids, used = torch.cat([self._ids, ids], 1), torch.cat([self._used, used], 1)
        device = self._model.device
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=ids.to(device),
                attention_mask=used.to(device),
                past_key_values=self._cache,
                max_new_tokens=max_new_tokens,
                pad_token_id=self._tokenizer.pad_token_id,
                **self._draw_settings(),
            ).cpu()
        said = output[:, ids.shape[1] :]
        is_said = self._until_the_end(said)
        cached = self._cache.get_seq_length()  # the last token of all is not in it
        self._ids = output[:, :cached]
        self._used = torch.cat([used, is_said.long()], 1)[:, :cached]
        return [
            self._tokenizer.decode(row[kept], skip_special_tokens=True).strip()
            for row, kept in zip(said, is_said, strict=True)
        ]

    def _keep_shared(self, prompts: Sequence[Sequence[int]]) -> list[int]:
        """Give each prompt the cached row that shares its longest beginning, or an empty one.

        Positions of a row beyond that beginning are kept and not used, since rows have one length.
        The last token of a prompt is never shared: its reply is computed from it.

        Returns:
            Number of shared tokens of each prompt.
        """
        known = [row[used.bool()].tolist() for row, used in zip(self._ids, self._used, strict=True)]
        best = [
            max(((_shared(ids[:-1], row), n) for n, row in enumerate(known)), default=(0, 0))
            for ids in prompts
        ]
        # A sliding window counts positions that are not used, and a state cannot be moved back.
        movable = self._cache.is_croppable and not any(self._cache.is_sliding)
        if not movable or not max(length for length, _ in best):
            self._forget(len(prompts))
            return [0] * len(prompts)
        rows = torch.tensor([row for _, row in best])
        shared = torch.tensor([[length] for length, _ in best])
        self._cache.batch_select_indices(rows.to(self._model.device))
        ids, used = self._ids[rows], self._used[rows]
        used = used * (used.cumsum(1) <= shared)
        width = int(used.any(0).nonzero().max()) + 1
        self._cache.crop(width - used.shape[1])
        self._ids, self._used = ids[:, :width], used[:, :width]
        return [length for length, _ in best]

    def _until_the_end(self, said: Tensor) -> Tensor:
        """Return which tokens of replies (B, T) stand before the end, or are the end itself."""
        ends = torch.tensor(self._ends)
        is_end = torch.isin(said, ends).long()
        return is_end.cumsum(1) - is_end == 0

    def _encode(self, messages: Conversation) -> list[int]:
        """Return the tokens up to where the assistant's turn starts.

        The template's own start of that turn is part of them. Special tokens in the text are
        broken up.
        """
        turns = [
            {"role": message["role"], "content": self._clean(message["content"])}
            for message in messages
        ]
        try:
            encoded = self._tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=True, return_dict=True
            )
        except TemplateError:  # a few templates know no system message
            first, second, *rest = turns
            joined = {"role": "user", "content": f"{first['content']}\n\n{second['content']}"}
            encoded = self._tokenizer.apply_chat_template(
                [joined, *rest], add_generation_prompt=True, tokenize=True, return_dict=True
            )
        return list(encoded["input_ids"])

    def _clean(self, text: str) -> str:
        for token in self._special:
            text = text.replace(token, break_token(token))
        return text

    def _forget(self, rows: int = 0) -> None:
        """Begin a cache of some rows without tokens."""
        self._cache = growing_cache(self._model.config)
        self._ids = torch.empty(rows, 0, dtype=torch.long)
        self._used = torch.empty_like(self._ids)

    def _draw_settings(self) -> dict[str, Any]:
        if self._sampling is None:
            return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        return {
            "do_sample": True,
            "temperature": self._sampling.temperature,
            "top_p": self._sampling.top_p,
            "top_k": self._sampling.top_k,
        }


def _padded_left(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Return rows of one length, and 1 where a token stands and 0 where padding does."""
    width = max(map(len, rows))
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows])
    used = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids, used


def _shared(first: Sequence[int], second: Sequence[int]) -> int:
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def load_local_chat(
    reference: str, device: str | None = None, sampling: Sampling | None = None
) -> LocalChat:
    """Load a model as `student.base_model` names it: `embedded`, a Hugging Face name, a folder.

    Raises:
        TrainingError: there is no such model, or its tokenizer has no chat template.
    """
    base, where = resolve_base_model(reference), pick_device(device)
    model = load_base_model(base, pick_dtype("auto", where), where)
    return LocalChat(model, load_tokenizer(base), sampling)
