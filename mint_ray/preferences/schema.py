"""Schema of preference pairs, the project's exchange format, which TRL reads without conversion.

The content of messages is text in pairs from a note, and a list of parts in pairs from an image.
Pairs from an image have one more column, `images`: the encoded bytes in the form of `datasets`'
Image feature. The schema's metadata names that feature, so that `load_dataset("parquet", ...)`
gives decoded images.
"""

import json

import pyarrow as pa

from mint_ray.tasks.task import Task

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
PARTS = pa.list_(pa.struct([("type", pa.string()), ("text", pa.string())]))
PART_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", PARTS)]))
# How `datasets` stores its Image feature: encoded bytes, or a path, which is always null here.
IMAGES = pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def _pair_fields(messages: pa.DataType) -> list[pa.Field]:
    return [
        pa.field("preference_id", pa.string(), nullable=False),  # <case_id>#<rejected set>
        pa.field("case_id", pa.string(), nullable=False),
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),  # a name of `TASKS`
        pa.field("prompt", messages, nullable=False),
        pa.field("chosen", messages, nullable=False),
        pa.field("rejected", messages, nullable=False),
        pa.field("chosen_labels", pa.list_(pa.string()), nullable=False),
        pa.field("rejected_labels", pa.list_(pa.string()), nullable=False),
        pa.field("chosen_scores", pa.list_(pa.float32()), nullable=False),  # log-probabilities
        pa.field("rejected_scores", pa.list_(pa.float32()), nullable=False),
        pa.field("label_id", pa.string()),  # the known answer; null if unknown
        pa.field("candidates", pa.list_(pa.string()), nullable=False),
        pa.field("teacher", pa.string(), nullable=False),  # name and revision
        pa.field("config_hash", pa.string(), nullable=False),  # key of the step that wrote it
    ]


# `datasets` applies a feature of the metadata only to columns that may be null, as all of its own
# columns may; so `images` below is nullable.
_FEATURES = {"info": {"features": {"images": [{"_type": "Image"}]}}}

PREFERENCE_SCHEMA = pa.schema(_pair_fields(MESSAGES))
"""Pairs from a note."""

IMAGE_PREFERENCE_SCHEMA = pa.schema(
    [*_pair_fields(PART_MESSAGES), pa.field("images", IMAGES)],
    metadata={"huggingface": json.dumps(_FEATURES)},
)
"""Pairs from an image; every row has exactly one image."""


def preference_schema(task: Task) -> pa.Schema:
    """Return the columns of a task's preference pairs in files."""
    return PREFERENCE_SCHEMA if task.input_modality == "note" else IMAGE_PREFERENCE_SCHEMA


def scored_schema(task: Task) -> pa.Schema:
    """Return the columns of scored cases, one row per case, before pairs are written to files.

    Where `pairs` is empty, `reason` says why. The pairs have no images: the case table has them,
    and a copy would only cost memory.
    """
    fields = _pair_fields(MESSAGES if task.input_modality == "note" else PART_MESSAGES)
    return pa.schema(
        [
            pa.field("case_id", pa.string(), nullable=False),
            pa.field("source", pa.string()),
            pa.field("split", pa.string()),
            pa.field("reason", pa.string()),
            # Whether the teacher ranks the known answer first; null without an answer or scores.
            pa.field("answer_first", pa.bool_()),
            pa.field("pairs", pa.list_(pa.struct(fields)), nullable=False),
            # Rejected labels of all pairs that the teacher did not answer for.
            pa.field("unanswered", pa.int32()),
        ]
    )
