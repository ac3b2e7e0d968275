"""GGUF files: what their header says, and their conversion to a model folder."""

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from mint_ray.errors import TrainingError
from mint_ray.students.models.model_cache import save_model_folder


@dataclass(frozen=True)
class GgufHeader:
    """The header of a GGUF file describes its model in these fields; one that it lacks is None.

    `parameters` counts the weights as stored: an output layer that is tied to the embeddings counts
    again where the file holds it apart.
    """

    architecture: str | None
    name: str | None
    size_label: str | None
    license: str | None
    parameters: int
    has_chat_template: bool


def read_gguf_header(file: Path) -> GgufHeader:
    """Read the header of a GGUF file, and check that all of its tensors are there.

    Raises:
        TrainingError: the file is not of this format, or ends too early.
    """
    from gguf import GGUFReader  # who loads a converted model may have none

    try:
        reader = GGUFReader(file)
        # A memory map of a file that was cut would end a process that reads it.
        end = max(int(tensor.data_offset) + int(tensor.n_bytes) for tensor in reader.tensors)
        if file.stat().st_size < end:
            raise ValueError(f"{file.stat().st_size} of {end} bytes")
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise TrainingError(
            f"{file}: expected a whole GGUF file, found another format or one that ends too early "
            f"({error}); fetch it again"
        ) from error

    def text(field: str) -> str | None:
        found = reader.get_field(field)
        return None if found is None else str(found.contents())

    return GgufHeader(
        architecture=text("general.architecture"),
        name=text("general.name"),
        size_label=text("general.size_label"),
        license=text("general.license"),
        parameters=sum(int(tensor.n_elements) for tensor in reader.tensors),
        has_chat_template=text("tokenizer.chat_template") is not None,
    )


def convert_gguf(source: Path, target: Path, dtype: torch.dtype) -> None:
    """Write the de-quantised model of a GGUF file, and its tokenizer, into a folder.

    Args:
        source: file of an architecture that transformers reads.
        target: existing folder; gets safetensors, configs and tokenizer files.
        dtype: of the written weights.
    """
    folder, name = str(source.parent), source.name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    # Without this, weights stay packed where transformers finds kernels that read them so.
    plain = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=name, dtype=dtype, quantization_config=plain
    )
    # The config still names the quantisation, which `from_pretrained` would look for again.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    save_model_folder(model, target)
    tokenizer.save_pretrained(target)
