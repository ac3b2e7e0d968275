"""Accuracy of the tissue teachers on patients that were left out one by one.

    python benchmarks/tissue_teacher.py --cases histology \
        --out benchmarks/results/tissue_teacher.json

`--cases` is a folder with `images.parquet`, or that table: one image per patient with `patient`,
`organ`, `image_webp` and `nuclei_mask_png`. Each image is cut into squares. For every patient, all
systems are fitted on the other patients only, with their default settings; hyperparameters are
chosen by cross-validation over those patients. Intervals are 95 %, bootstrapped over patients.

The layers of the image encoder are a constant of the package. They follow published practice, but
were fixed after other layers had been compared on these images. `layers_chosen_inside` shows the
accuracy when the layers are chosen within the training patients instead.
"""

import argparse
import io
import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from joblib import Parallel, delayed
from PIL import Image
from record_run import hardware
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mint_ray.config.teacher import TeacherConfig
from mint_ray.encoders.batches import in_parts
from mint_ray.evaluation.metrics.bootstrap import mean_interval
from mint_ray.evaluation.metrics.shares import mean_share_interval
from mint_ray.images.decode import open_tile
from mint_ray.images.efficientnet_lite import load_efficientnet, to_pixels
from mint_ray.images.morphology import describe, measure
from mint_ray.pipeline.manifest import package_versions
from mint_ray.teachers.clip.augment import make_views
from mint_ray.teachers.clip.encoders.embedded import EmbeddedEncoders
from mint_ray.teachers.clip.ensemble import deal_folds
from mint_ray.teachers.clip.examples import Examples, encode_descriptions
from mint_ray.teachers.clip.fit import fit_heads
from mint_ray.teachers.clip.logistic import balanced_weights, fit_linear

logger = logging.getLogger("tissue_teacher")

SIDE = 250  # of a tile, in pixels
SIZES = (8, 6, 4)  # organs, those with most patients first
LAYER_SETS = {"4-7-10": (4, 7, 10), "7-10-14": (7, 10, 14), "last": (15,), "4-7-10-14-15": ()}
SAMPLES = 1000  # resamples of the intervals


class Tile(NamedTuple):
    """A square of an image, with descriptions of its morphology."""

    patient: str
    organ: str
    image: Image.Image
    description: str  # measured on the image alone
    from_mask: str  # measured with the published outlines of the nuclei


def read_tiles(path: Path) -> list[Tile]:
    """Cut all images into squares of `SIDE` pixels."""
    file = path / "images.parquet" if path.is_dir() else path
    tiles = []
    for row in pq.read_table(file).to_pylist():
        image = open_tile(row["image_webp"])
        assert not isinstance(image, str), image
        mask = np.asarray(Image.open(io.BytesIO(row["nuclei_mask_png"])))
        mask = mask.reshape(*mask.shape[:2], -1)[..., 0]
        for top in range(0, image.height - SIDE + 1, SIDE):
            for left in range(0, image.width - SIDE + 1, SIDE):
                part = image.crop((left, top, left + SIDE, top + SIDE))
                pixels = np.asarray(part)
                nuclei = mask[top : top + SIDE, left : left + SIDE]
                texts = describe(measure(pixels)), describe(measure(pixels, nuclei))
                tiles.append(Tile(row["patient"], row["organ"], part, *texts))
    return tiles


class Encoded(NamedTuple):
    """Features of all tiles, rows in the order of the tiles."""

    examples: Examples  # labels are positions in `organs`
    from_mask: Examples
    last: np.ndarray  # (n, 1280) pooled output of the whole network: the reference
    layers: dict[str, np.ndarray]
    organs: list[str]  # by number of patients


def encode(tiles: Sequence[Tile], views: int, seed: int) -> Encoded:
    """Encode every tile once for all fits, because its views do not depend on the fold."""
    encoders, rng = EmbeddedEncoders(), np.random.default_rng(seed)
    counts = Counter({tile.patient: tile.organ for tile in tiles}.values())
    organs = sorted(counts, key=lambda organ: (-counts[organ], organ))
    views_of = [view for tile in tiles for view in make_views(tile.image, views, rng)]
    images = encoders.images(views_of).reshape(len(tiles), views, -1)
    labels = np.array([organs.index(tile.organ) for tile in tiles])
    _, groups = np.unique([tile.patient for tile in tiles], return_inverse=True)

    def examples(texts: list[str]) -> Examples:
        encoded = encode_descriptions(texts, encoders)
        return Examples(images, labels, groups, tuple(texts), encoded)

    last, layers = pooled_layers([tile.image for tile in tiles])
    plain, masked = ([getattr(t, name) for t in tiles] for name in ("description", "from_mask"))
    return Encoded(examples(plain), examples(masked), last, layers, organs)


def pooled_layers(images: Sequence[Image.Image]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the network's pooled output, and means and deviations of each set of blocks.

    Returns:
        The output (n, 1280), and for each of `LAYER_SETS` (n, 2 x its channels).
    """
    network, blocks = load_efficientnet(), (4, 7, 10, 14, 15)
    outputs: dict[int, torch.Tensor] = {}
    for index in blocks:
        network.network._blocks[index].register_forward_hook(
            lambda module, inputs, output, index=index: outputs.__setitem__(index, output)
        )

    def run(part: Sequence[Image.Image]) -> torch.Tensor:
        pooled = network(to_pixels(part)).pooler_output
        stats = [f(outputs[index], (2, 3)) for index in blocks for f in (torch.mean, torch.std)]
        return torch.cat([*stats, pooled], 1)

    everything = in_parts(run, images)
    widths = [outputs[index].shape[1] for index in blocks]
    starts = np.cumsum([0, *(2 * width for width in widths)])
    columns = {i: np.arange(starts[k], starts[k + 1]) for k, i in enumerate(blocks)}
    sets = {
        name: everything[:, np.concatenate([columns[i] for i in chosen or blocks])]
        for name, chosen in LAYER_SETS.items()
    }
    return everything[:, starts[-1] :], sets


def reference(features: np.ndarray, labels: np.ndarray) -> Any:
    """Fit a logistic regression on pooled features of a single pass, with default settings."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(features, labels)


def choose_layers(encoded: Encoded, train: np.ndarray, settings: TeacherConfig, seed: int) -> str:
    """Choose the set of layers with the best accuracy on training patients left out in turn."""
    labels, groups = encoded.examples.labels[train], encoded.examples.groups[train]
    folds = deal_folds(labels, groups, 4, seed)
    score = {}
    for name, features in encoded.layers.items():
        hits = 0.0
        for fold in range(4):
            fitted, validation = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            scores = layer_probe(features[train], labels, groups, fitted, settings)(
                features[train][validation]
            )
            hits += (scores.argmax(1) == labels[validation]).sum()
        score[name] = hits
    return max(score, key=lambda name: score[name])


def layer_probe(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    rows: np.ndarray,
    settings: TeacherConfig,
) -> Any:
    """Fit a linear probe of one strength on some rows; return its log-probability function."""
    weights = balanced_weights(labels[rows], groups[rows])
    width = (features.shape[1],)
    (probe,) = fit_linear(
        features[rows], width, labels[rows], weights, int(labels.max()) + 1,
        (settings.clip.probe_strength,),
    )  # fmt: skip
    return probe.log_probs


def score_patient(
    encoded: Encoded,
    n_organs: int,
    patient: int,
    prompts: np.ndarray,
    settings: TeacherConfig,
    seed: int,
) -> tuple[dict[str, np.ndarray], str]:
    """Score the tiles of a patient with all systems, fitted on the other patients.

    Returns:
        Log-probabilities (tiles, n_organs) by system, and the chosen set of layers.
    """
    torch.set_num_threads(1)
    data = encoded.examples
    rows = np.flatnonzero(data.labels < n_organs)
    test, train = rows[data.groups[rows] == patient], rows[data.groups[rows] != patient]
    counts = np.bincount(data.labels[train], minlength=n_organs)
    scores = {"majority": np.tile(np.log((counts + 1) / (counts + 1).sum()), (len(test), 1))}
    model = reference(encoded.last[train], data.labels[train])
    scores["reference"] = model.predict_log_proba(encoded.last[test])
    layers = choose_layers(encoded, train, settings, seed)
    features = encoded.layers[layers]
    probe = layer_probe(features[rows], data.labels[rows], data.groups[rows],
                        np.flatnonzero(data.groups[rows] != patient), settings)  # fmt: skip
    scores["layers_chosen_inside"] = probe(features[test])
    for name, examples in (("clip_fusion", data), ("clip_fusion_from_masks", encoded.from_mask)):
        heads = fit_heads(examples.take(train), prompts, None, settings, seed, lambda metrics: None)
        tested = examples.take(test)
        scores[name] = heads.log_probs(tested.images[:, 0], tested.descriptions, tested.texts)
        if examples is data:  # without a description, `clip_fusion` is the same model as `clip`
            scores["clip"] = heads.log_probs(tested.images[:, 0])
    return scores, layers


def left_out(
    encoded: Encoded, n_organs: int, settings: TeacherConfig, seed: int, threads: int
) -> dict[str, Any]:
    """Measure all systems on each patient in turn, fitted on the other patients."""
    data = encoded.examples
    rows = np.flatnonzero(data.labels < n_organs)
    templates = settings.clip.templates
    prompts = (
        EmbeddedEncoders()
        .texts([t.replace("{}", organ) for organ in encoded.organs[:n_organs] for t in templates])
        .reshape(n_organs, len(templates), -1)
    )
    patients = np.unique(data.groups[rows])
    scored = Parallel(n_jobs=threads)(
        delayed(score_patient)(encoded, n_organs, patient, prompts, settings, seed)
        for patient in patients
    )
    scores = {name: np.zeros((len(data), n_organs)) for name in scored[0][0]}
    for patient, (by_system, _) in zip(patients, scored, strict=True):
        for name, values in by_system.items():
            scores[name][rows[data.groups[rows] == patient]] = values
    result = {name: figures(values[rows], data.take(rows), seed) for name, values in scores.items()}
    base = hits_of(scores["reference"][rows], data.labels[rows])
    for name in set(scores) - {"majority", "reference"}:
        gains = hits_of(scores[name][rows], data.labels[rows]) - base
        gain = mean_interval(gains, data.groups[rows], SAMPLES, seed)
        result[name]["tile_gain_over_reference"] = rounded(gain)
    return {
        "organs": encoded.organs[:n_organs],
        "patients": len(patients),
        "tiles": len(rows),
        "layers_chosen_inside": dict(Counter(layers for _, layers in scored)),
        "systems": result,
        "reference_on_a_random_split_of_tiles": leaky(encoded.last[rows], data.labels[rows], seed),
    }


def leaky(features: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """Return the reference's tile accuracy on a random split of tiles.

    It is too high, because tiles of the same patient are on both sides of the split.
    """
    folds = StratifiedKFold(5, shuffle=True, random_state=seed).split(features, labels)
    hits = [reference(features[a], labels[a]).predict(features[b]) == labels[b] for a, b in folds]
    return round(float(np.concatenate(hits).mean()), 4)


def hits_of(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (n,) 1 where the best label is right, else 0."""
    return np.asarray(scores.argmax(1) == labels, np.float64)


def figures(scores: np.ndarray, data: Examples, seed: int) -> dict[str, Any]:
    """Measure accuracy over tiles and patients, and loss (nats) and confidence over tiles.

    A patient's answer is the label of the highest mean log-probability over the tiles.
    """
    hits = hits_of(scores, data.labels)
    patients = np.unique(data.groups)
    means = np.stack([scores[data.groups == patient].mean(0) for patient in patients])
    answers = np.array([data.labels[data.groups == patient][0] for patient in patients])
    normal = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    return {
        "tile_top1": rounded(mean_share_interval(hits, data.groups, SAMPLES, seed)),
        "patient_top1": rounded(
            mean_share_interval(hits_of(means, answers), patients, SAMPLES, seed)
        ),
        "tile_nll": round(float(-normal[np.arange(len(hits)), data.labels].mean()), 4),
        "tile_confidence": round(float(np.exp(normal.max(1)).mean()), 4),
    }


def rounded(interval: Any) -> list[float]:
    """Return value, low and high of an interval, with four decimals."""
    return [round(value, 4) for value in (interval.value, interval.low, interval.high)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=Path, required=True, help="table of images, or its folder")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--organs", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    settings = TeacherConfig(name="clip_fusion")
    start = time.monotonic()
    tiles = read_tiles(options.cases)
    described = time.monotonic()
    logger.info("%d tiles", len(tiles))
    encoded = encode(tiles, settings.clip.views, options.seed)
    encoders = EmbeddedEncoders()
    sample = [tile.image for tile in tiles[:64]]
    encoders.images(sample[:8])  # loads the network, outside the measured time
    loaded = time.monotonic()
    encoders.images(sample)
    result: dict[str, Any] = {
        "hardware": hardware() | {"threads": options.threads},
        "versions": package_versions(),
        "seed": options.seed,
        "teacher": settings.model_dump(mode="json", include={"name", "clip", "batch_size"}),
        "chosen_before": "layers and defaults, with other layers compared on these images",
        "chosen_inside": "strengths, weights and temperature, by cross-validation over groups",
        "tiles_encoded_per_second": round(len(sample) / (time.monotonic() - loaded), 1),
        "description_seconds": round(described - start, 1),
        "sets": {
            str(n): left_out(encoded, n, settings, options.seed, options.threads)
            for n in options.organs
        },
    }
    result["seconds"] = round(time.monotonic() - start, 1)
    for size, figures_of_set in result["sets"].items():
        logger.info("%s organs: %s", size, json.dumps(figures_of_set["systems"]))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
