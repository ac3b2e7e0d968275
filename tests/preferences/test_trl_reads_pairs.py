"""Our parquet file of pairs is a TRL dataset as it is: no column is renamed, dropped or mapped."""

import math
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, load_dataset
from peft import LoraConfig, get_peft_model

from mint_ray.preferences.schema import PREFERENCE_SCHEMA
from tests.preferences.conftest import build_pairs

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Two pairs each of four cases, one without a known answer, as `datasets` reads them."""
    changes = [{"note": f"A note of case {i}.", "terms": ["x" * i]} for i in range(4)]
    rows = build_pairs([changes[0] | {"label_id": None}, *changes[1:]], rejected_sets=2)
    pairs = [pair for row in rows for pair in row["pairs"]]
    path = tmp_path / "train.parquet"
    pq.write_table(pa.Table.from_pylist(pairs, PREFERENCE_SCHEMA), path)
    return load_dataset(
        "parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )


@pytest.mark.parametrize("objective", ["dpo", "orpo"])
def test_one_step_of_trl(
    dataset: Dataset, model: Any, tokenizer: Any, tmp_path: Path, objective: str
) -> None:
    assert dataset.column_names == PREFERENCE_SCHEMA.names
    assert len(dataset) == 8
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear"))
    before = weights(adapted)
    trainer = trl_trainer(objective, adapted, tokenizer, dataset, tmp_path / "out")
    assert math.isfinite(trainer.train().training_loss)
    after = weights(trainer.model)
    assert after.keys() == before.keys()
    assert any((after[name] != before[name]).any() for name in before)


def trl_trainer(objective: str, model: Any, tokenizer: Any, dataset: Dataset, out: Path) -> Any:
    from trl import DPOConfig, DPOTrainer
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    config, trainer = {"dpo": (DPOConfig, DPOTrainer), "orpo": (ORPOConfig, ORPOTrainer)}[objective]
    settings = config(
        output_dir=str(out),
        max_length=1024,
        max_steps=1,
        per_device_train_batch_size=2,
        learning_rate=1e-2,
        bf16=False,
        use_cpu=True,
        report_to=[],
    )
    return trainer(model=model, args=settings, train_dataset=dataset, processing_class=tokenizer)


def weights(model: Any) -> dict[str, Any]:
    named = model.named_parameters()
    return {name: value.detach().clone() for name, value in named if value.requires_grad}
