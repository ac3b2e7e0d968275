"""Facial HPO terms of the schematic face, as shifts of its drawing parameters.

A face is a vector of named drawing parameters. Each varies naturally between people
(`PARAMETERS`: mean and standard deviation); a finding shifts some of them by a number of
standard deviations, so that it has to be recognised against natural variation.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Parameter(NamedTuple):
    """Natural variation of one drawing parameter: lengths in pixels of the 112-pixel image."""

    mean: float
    deviation: float


class Finding(NamedTuple):
    """One facial finding: its name, its look in words, and its shifts in standard deviations."""

    name: str
    drawn: str
    shifts: Mapping[str, float]


# Widths are half-widths; heights grow downwards from the eye line. Parameters without a unit
# are amounts between 0 (absent) and about 1 (marked); negative amounts draw nothing.
PARAMETERS: dict[str, Parameter] = {
    "skull": Parameter(0.0, 0.9),  # pixels added around the cranium
    "forehead_height": Parameter(21.0, 0.9),
    "forehead_width": Parameter(28.0, 0.8),
    "forehead_relief": Parameter(0.1, 0.1),
    "face_width": Parameter(31.0, 0.8),
    "jaw_width": Parameter(24.5, 0.8),
    "chin_width": Parameter(9.5, 0.7),
    "chin_level": Parameter(42.0, 0.9),
    "cheeks": Parameter(0.1, 0.1),
    "midface_shadow": Parameter(0.05, 0.1),
    "folds": Parameter(0.05, 0.1),
    "asymmetry": Parameter(0.0, 0.25),  # pixels by which one half of the face sits lower
    "eye_spacing": Parameter(14.2, 0.45),
    "eye_length": Parameter(6.4, 0.3),
    "eye_opening": Parameter(3.0, 0.2),
    "eye_slant": Parameter(1.0, 1.8),  # degrees, positive for the outer corner up
    "lid_droop": Parameter(0.08, 0.05),
    "epicanthal_fold": Parameter(0.0, 0.12),
    "orbit_shadow": Parameter(0.1, 0.08),
    "eye_bulge": Parameter(0.0, 0.1),
    "brow_thickness": Parameter(1.1, 0.12),
    "brow_arch": Parameter(1.8, 0.5),
    "brow_density": Parameter(0.9, 0.06),
    "brow_bridge": Parameter(0.0, 0.08),
    "bridge_width": Parameter(3.4, 0.35),
    "bridge_relief": Parameter(0.2, 0.12),  # negative for a depressed bridge
    "nose_length": Parameter(17.0, 0.8),
    "nose_width": Parameter(6.4, 0.4),
    "nose_tip": Parameter(3.4, 0.3),
    "nostrils": Parameter(0.8, 0.12),
    "philtrum_length": Parameter(6.5, 0.55),
    "philtrum_depth": Parameter(0.6, 0.09),
    "upper_lip": Parameter(2.3, 0.2),
    "lower_lip": Parameter(2.8, 0.25),
    "lip_eversion": Parameter(0.0, 0.1),
    "mouth_width": Parameter(10.5, 0.6),
    "mouth_corners": Parameter(0.0, 0.5),  # positive for corners down
    "mouth_opening": Parameter(0.0, 0.1),
    "cleft": Parameter(0.0, 0.1),
    "ear_level": Parameter(0.0, 0.9),
    "ear_size": Parameter(10.0, 0.55),
    "ear_spread": Parameter(4.2, 0.4),
}

FACE_FINDINGS: dict[str, Finding] = {
    "HP:0000252": Finding(
        "Microcephaly", "small, low cranium", {"skull": -4.0, "forehead_width": -2.0}
    ),
    "HP:0000256": Finding(
        "Macrocephaly", "large, high cranium", {"skull": 4.5, "forehead_width": 2.0}
    ),
    "HP:0000348": Finding("High forehead", "hairline higher", {"forehead_height": 4.5}),
    "HP:0000337": Finding("Broad forehead", "temples wider apart", {"forehead_width": 5.0}),
    "HP:0000341": Finding("Narrow forehead", "temples closer together", {"forehead_width": -5.0}),
    "HP:0011220": Finding(
        "Prominent forehead", "light dome, shadow above the brows", {"forehead_relief": 7.0}
    ),
    "HP:0000311": Finding(
        "Round face",
        "wide cheeks and jaw, short chin",
        {"face_width": 2.0, "jaw_width": 3.5, "chin_width": 3.0, "chin_level": -2.5},
    ),
    "HP:0000276": Finding(
        "Long face", "longer lower face", {"chin_level": 5.0, "nose_length": 1.5, "jaw_width": -1.0}
    ),
    "HP:0000325": Finding(
        "Triangular face",
        "wide temples, jaw tapering to the chin",
        {"forehead_width": 2.5, "jaw_width": -5.0, "chin_width": -3.0},
    ),
    "HP:0000275": Finding(
        "Narrow face",
        "narrow from temples to jaw",
        {"face_width": -4.5, "forehead_width": -3.0, "jaw_width": -3.5},
    ),
    "HP:0000280": Finding(
        "Coarse facial features",
        "deep folds, heavy brows, nose and lips",
        {
            "folds": 8.0,
            "brow_thickness": 2.0,
            "nose_width": 2.5,
            "nose_tip": 1.5,
            "upper_lip": 2.0,
            "lower_lip": 2.0,
        },
    ),
    "HP:0000324": Finding("Facial asymmetry", "one half of the face lower", {"asymmetry": 12.0}),
    "HP:0011800": Finding(
        "Midface retrusion", "shadow below the eyes and beside the nose", {"midface_shadow": 7.0}
    ),
    "HP:0000293": Finding("Full cheeks", "rounded, light cheeks", {"cheeks": 7.0}),
    "HP:0000347": Finding(
        "Micrognathia",
        "small chin close to the mouth",
        {"chin_level": -4.5, "jaw_width": -3.5, "chin_width": -3.0},
    ),
    "HP:0000303": Finding(
        "Mandibular prognathia",
        "broad chin far below the mouth",
        {"chin_level": 3.5, "chin_width": 5.0, "jaw_width": 2.0},
    ),
    "HP:0000307": Finding(
        "Pointed chin",
        "chin ending in a point",
        {"chin_width": -9.0, "chin_level": 3.0, "jaw_width": -1.5},
    ),
    "HP:0000316": Finding("Hypertelorism", "eyes further apart", {"eye_spacing": 5.0}),
    "HP:0000601": Finding("Hypotelorism", "eyes closer together", {"eye_spacing": -5.5}),
    "HP:0000494": Finding(
        "Downslanted palpebral fissures", "outer corners lower", {"eye_slant": -7.5}
    ),
    "HP:0000582": Finding(
        "Upslanted palpebral fissure", "outer corners higher", {"eye_slant": 7.0}
    ),
    "HP:0000637": Finding("Long palpebral fissure", "longer eyes", {"eye_length": 6.5}),
    "HP:0012745": Finding("Short palpebral fissure", "shorter eyes", {"eye_length": -6.5}),
    "HP:0000286": Finding(
        "Epicanthus", "skin fold over the inner corners", {"epicanthal_fold": 8.0}
    ),
    "HP:0000508": Finding("Ptosis", "upper lids over the irises", {"lid_droop": 9.0}),
    "HP:0000490": Finding("Deeply set eye", "dark orbits", {"orbit_shadow": 9.0}),
    "HP:0000520": Finding(
        "Proptosis", "wide open, bulging eyes", {"eye_bulge": 9.0, "eye_opening": 5.0}
    ),
    "HP:0000664": Finding("Synophrys", "brows meet above the nose", {"brow_bridge": 11.0}),
    "HP:0000574": Finding("Thick eyebrow", "thicker brows", {"brow_thickness": 7.0}),
    "HP:0002553": Finding("Highly arched eyebrow", "brows curved upwards", {"brow_arch": 6.0}),
    "HP:0045075": Finding(
        "Sparse eyebrow", "pale, thin brows", {"brow_density": -9.0, "brow_thickness": -1.5}
    ),
    "HP:0000431": Finding("Wide nasal bridge", "bridge lines wider apart", {"bridge_width": 6.5}),
    "HP:0005280": Finding(
        "Depressed nasal bridge", "shadowed saddle between the eyes", {"bridge_relief": -8.0}
    ),
    "HP:0000426": Finding(
        "Prominent nasal bridge", "light ridge, dark sides", {"bridge_relief": 7.0}
    ),
    "HP:0000414": Finding("Bulbous nose", "large round tip", {"nose_tip": 6.5, "nose_width": 2.0}),
    "HP:0003196": Finding("Short nose", "nose ends higher", {"nose_length": -5.0}),
    "HP:0003189": Finding("Long nose", "nose ends lower", {"nose_length": 5.0}),
    "HP:0000463": Finding("Anteverted nares", "large open nostrils", {"nostrils": 8.0}),
    "HP:0000343": Finding("Long philtrum", "mouth far below the nose", {"philtrum_length": 6.5}),
    "HP:0000322": Finding("Short philtrum", "mouth close to the nose", {"philtrum_length": -6.0}),
    "HP:0000319": Finding("Smooth philtrum", "no groove", {"philtrum_depth": -7.0}),
    "HP:0002002": Finding("Deep philtrum", "dark groove", {"philtrum_depth": 7.0}),
    "HP:0000219": Finding("Thin upper lip vermilion", "thin upper lip", {"upper_lip": -8.0}),
    "HP:0000215": Finding("Thick upper lip vermilion", "thick upper lip", {"upper_lip": 10.0}),
    "HP:0000179": Finding("Thick lower lip vermilion", "thick lower lip", {"lower_lip": 10.0}),
    "HP:0000232": Finding(
        "Everted lower lip vermilion",
        "lower lip turned out: light rim, shadow below",
        {"lip_eversion": 9.0, "lower_lip": 3.0},
    ),
    "HP:0000154": Finding("Wide mouth", "wider mouth", {"mouth_width": 6.0}),
    "HP:0000160": Finding("Narrow mouth", "narrower mouth", {"mouth_width": -6.5}),
    "HP:0002714": Finding(
        "Downturned corners of mouth", "corners below the midline", {"mouth_corners": 9.0}
    ),
    "HP:0000194": Finding("Open mouth", "dark gap between the lips", {"mouth_opening": 9.0}),
    "HP:0410030": Finding("Cleft lip", "notch from the upper lip to one nostril", {"cleft": 10.0}),
    "HP:0000369": Finding("Low-set ears", "ears lower on the head", {"ear_level": 8.0}),
    "HP:0000400": Finding("Macrotia", "large ears", {"ear_size": 7.5, "ear_spread": 2.5}),
    "HP:0008551": Finding("Microtia", "small ears", {"ear_size": -9.0, "ear_spread": -2.5}),
    "HP:0000411": Finding("Protruding ear", "ears stand out", {"ear_spread": 9.0}),
}


def findings_table() -> str:
    """Return `FACE_FINDINGS` as the Markdown table of `docs/faces.md`."""
    lines = [
        "| HPO term | finding | what the face shows | parameters, in standard deviations |",
        "|---|---|---|---|",
    ]
    for term, (name, drawn, shifts) in FACE_FINDINGS.items():
        moved = ", ".join(f"`{parameter}` {shift:+g}" for parameter, shift in shifts.items())
        lines.append(f"| {term} | {name} | {drawn} | {moved} |")
    return "\n".join(lines)
