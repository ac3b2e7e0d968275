"""Chat with a language model in this process, whose key-value cache is kept between turns."""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import DynamicCache

from mint_ray.common.devices import pick_device, pick_dtype
from mint_ray.reasoning.engine import NoReplyError
from mint_ray.students.models.base_models import (
    load_base_model,
    load_tokenizer,
    resolve_base_model,
)
from mint_ray.students.ranking.generation import Sampling
from mint_ray.tasks.prompts import Message, break_token


class LocalChat:
    """A transformers model as a chat model. It answers one conversation at a time.

    A turn computes only what its conversation does not share with the one before it: the
    conversation so far, or the system message of another case.

    Args:
        model: a causal language model in evaluation mode.
        tokenizer: its tokenizer with a chat template.
        sampling: of the tokens; None for greedy decoding. The seed is set here and by `begin`.

    Attributes:
        tokens_computed: of prompts so far, those taken from the cache left out.
        tokens_shown: of prompts so far.
    """

    def __init__(self, model: Any, tokenizer: Any, sampling: Sampling | None = None) -> None:
        self._model, self._tokenizer, self._sampling = model, tokenizer, sampling
        self.tokens_computed = self.tokens_shown = 0
        self._cached: list[int] = []
        self._forget()
        special = {str(token) for token in tokenizer.all_special_tokens if len(str(token)) > 1}
        self._special = sorted(special, key=len)[::-1]
        if sampling is not None:
            torch.manual_seed(sampling.seed)

    def begin(self, seed: int) -> None:
        """Forget all conversations, so that the next one depends on no earlier one.

        Args:
            seed: of the tokens that are drawn.
        """
        self._forget()
        torch.manual_seed(seed)

    def reply(self, messages: Sequence[Message], max_new_tokens: int) -> str:
        """Return the next turn of the assistant.

        Raises:
            NoReplyError: `too_long` where conversation and reply do not fit into the model's
                context.
        """
        ids = self._encode(messages)
        context = getattr(self._model.config, "max_position_embeddings", None)
        if context is not None and len(ids) + max_new_tokens > context:
            raise NoReplyError("too_long")
        self._keep_shared(ids)
        self.tokens_shown += len(ids)
        self.tokens_computed += len(ids) - len(self._cached)
        inputs = torch.tensor([ids], device=self._model.device)
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=inputs,
                attention_mask=torch.ones_like(inputs),
                past_key_values=self._cache,
                max_new_tokens=max_new_tokens,
                pad_token_id=self._tokenizer.pad_token_id,
                **self._draw_settings(),
            )
        every: list[int] = output[0].tolist()
        self._cached = every[: self._cache.get_seq_length()]
        text: str = self._tokenizer.decode(every[len(ids) :], skip_special_tokens=True)
        return text.strip()

    def _encode(self, messages: Sequence[Message]) -> list[int]:
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

    def _keep_shared(self, ids: Sequence[int]) -> None:
        """Cut the cache to what it shares with a prompt, whose last token is always computed."""
        pairs = zip(self._cached, ids[:-1], strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if shared < len(self._cached):
            try:
                self._cache.crop(shared - len(self._cached))
                self._cached = self._cached[:shared]
            except RuntimeError:  # a sliding window or a state that cannot be moved back
                self._forget()

    def _forget(self) -> None:
        self._cache = DynamicCache(config=self._model.config)
        self._cached = []

    def _draw_settings(self) -> dict[str, Any]:
        if self._sampling is None:
            return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        return {
            "do_sample": True,
            "temperature": self._sampling.temperature,
            "top_p": self._sampling.top_p,
            "top_k": self._sampling.top_k,
        }


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
