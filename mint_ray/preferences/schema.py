"""The preference pair: the project's exchange format, readable by TRL as it is.

Pairs with images have lists of parts for content and a column `images`, which `datasets` decodes
(its features are kept in the schema's metadata).
"""

import pyarrow as pa

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
PARTS = pa.list_(pa.struct([("type", pa.string()), ("text", pa.string())]))
PART_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", PARTS)]))
# How `datasets` stores its Image feature: encoded bytes, or a path, which is always null here.
IMAGES = pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))

PAIR_FIELDS = [
    pa.field("preference_id", pa.string(), nullable=False),  # <case_id>#<window>
    pa.field("case_id", pa.string(), nullable=False),
    pa.field("group_id", pa.string(), nullable=False),
    pa.field("split", pa.string(), nullable=False),
    pa.field("task", pa.string(), nullable=False),  # disease, gene, tissue, or a user's own
    pa.field("prompt", MESSAGES, nullable=False),
    pa.field("chosen", MESSAGES, nullable=False),
    pa.field("rejected", MESSAGES, nullable=False),
    pa.field("chosen_labels", pa.list_(pa.string()), nullable=False),
    pa.field("rejected_labels", pa.list_(pa.string()), nullable=False),
    pa.field("chosen_scores", pa.list_(pa.float32()), nullable=False),  # log-probabilities
    pa.field("rejected_scores", pa.list_(pa.float32()), nullable=False),
    pa.field("label_id", pa.string()),  # the known answer; null where there is none
    pa.field("candidates", pa.list_(pa.string()), nullable=False),
    pa.field("teacher", pa.string(), nullable=False),  # name and revision
    pa.field("config_hash", pa.string(), nullable=False),  # key of the step that wrote it
]

PREFERENCE_SCHEMA = pa.schema(PAIR_FIELDS)

# One row per case while the teacher works: `pairs` is empty where `reason` says why.
SCORED_SCHEMA = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("pairs", pa.list_(pa.struct(PAIR_FIELDS)), nullable=False),
    ]
)
