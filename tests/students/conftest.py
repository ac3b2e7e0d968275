"""A tiny tokenizer, tiny random models, and invented preference pairs as files and tokens."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mint_ray.common import devices
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.students.data.rows import RowEncoder
from mint_ray.students.encoding.text import Encoder
from mint_ray.students.logprobs.examples import Example, merge
from tests.students.pairs import LABELS, NAMES, pair_row

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' "
    "+ message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load models in float32 on CPUs with bfloat16 too, since these tests compare exactly."""
    monkeypatch.setattr(devices, "bfloat16_pays", lambda: False)


@pytest.fixture(autouse=True)
def _own_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """ZeRO-3 puts a linear layer of its own in place of torch's, and leaves it there."""
    monkeypatch.setattr(torch.nn.functional, "linear", torch.nn.functional.linear)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """See `make_tokenizer`."""
    return make_tokenizer()


def make_tokenizer() -> Any:
    """Byte-level BPE of a few hundred tokens with SmolLM2's chat template."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lines = [f"1. '{name}'\nPOTENTIAL_DISEASES:" for name in NAMES] * 3
    backend.train_from_iterator([*lines, "a patient with tall stature (tall)'"], trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
    )
    made.chat_template = CHAT_TEMPLATE
    return made


@pytest.fixture
def model(tokenizer: Any) -> Any:
    """A random two-layer Llama with grouped attention and tied embeddings."""
    return make_model(tokenizer)


def make_model(tokenizer: Any, layers: int = 2) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def adapted(model: Any) -> Any:
    """The tiny model with an adapter that changes what it says."""
    torch.manual_seed(1)
    settings = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    wrapped = get_peft_model(model, settings)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return wrapped.eval()


def take_gradients(model: Any) -> dict[str, torch.Tensor]:
    """All gradients, which are then zero again."""
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def assert_same_gradients(
    found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]
) -> None:
    """Equal to 1e-4 of each tensor's largest element."""
    assert found
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        scale = float(expected[name].abs().max())
        assert float((gradient - expected[name]).abs().max()) <= 1e-4 * scale, name


@pytest.fixture(scope="session")
def base_folder(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a local folder, for `student.base_model`."""
    folder = tmp_path_factory.mktemp("base")
    make_model(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_examples(tokenizer: Any, numbers: Iterable[int] = range(3)) -> list[Example]:
    """Invented pairs, encoded as ORPO compares them."""
    maker = RowEncoder(Encoder(tokenizer, 700, 1400), "pairs", {}, k=2)
    return [merge([maker.encode_row(pair_row(n))], number) for number, n in enumerate(numbers)]


@pytest.fixture
def examples(tokenizer: Any) -> list[Example]:
    """Three encoded pairs of different lengths."""
    return make_examples(tokenizer)


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalogue of `NAMES`, as a file."""
    path = tmp_path_factory.mktemp("catalogue") / "catalogue.parquet"
    Catalogue(Label(key, name, (key,), (), ()) for key, name in LABELS.items()).write(path)
    return path


@pytest.fixture
def write_pairs(tmp_path: Path) -> Callable[[list[dict[str, Any]]], Path]:
    """Writes rows to a parquet file and gives its path."""

    def write(rows: list[dict[str, Any]]) -> Path:
        path = tmp_path / "pairs.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path

    return write
