"""Teachers of other packages, found by entry points of an installed distribution."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.config.config import Config
from mint_ray.errors import ConfigError, TeacherError
from mint_ray.pipeline.check import check_config
from mint_ray.teachers.base import load_manifest, load_teacher
from mint_ray.teachers.registry import epochs_of, find_fitter, is_recorded
from tests.teachers.conftest import columns
from tests.teachers.tissue import CATALOGUE

ROOT = Path(__file__).parents[2]
MODULE = '''
"""An invented teacher: it prefers labels with short names."""

import numpy as np

from mint_ray.errors import ConfigError
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.teachers.base import TeacherPlugin, write_manifest


class ShortNames:
    def __init__(self, names, labels, weight):
        self.labels, self.revision = labels, f"short_names@{weight}"
        logits = -weight * np.array([len(name) for name in names], dtype=np.float32)
        self._row = logits - np.log(np.exp(logits).sum())

    def score(self, batch):
        return np.tile(self._row, (len(batch["case_id"]), 1))

    def unusable_reasons(self, batch):
        return [""] * len(batch["case_id"])


def fit(source, config, out, report):
    out.mkdir(exist_ok=True)
    Catalogue.read(source / "catalogue.parquet").write(out / "catalogue.parquet")
    report({"step": 1.0, "loss": 0.0})
    weight = config.teacher.options["weight"]
    write_manifest(out, "short_names", ["catalogue.parquet"], {"weight": weight})
    return {"validation.top1": 0.5}


def load(folder, manifest):
    catalogue = Catalogue.read(folder / "catalogue.parquet")
    return ShortNames(catalogue.names, catalogue.ids, manifest["content"]["weight"])


def check(config):
    if "weight" not in config.teacher.options:
        raise ConfigError("teacher.options: expected a weight")


TEACHER = TeacherPlugin(tasks=("tissue",), fit=fit, load=load, check=check)
'''
ENTRIES = """
[mint_ray.teachers]
short_names = invented_teachers:TEACHER
broken = invented_teachers:ABSENT
wrong = invented_teachers:load
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution, as pip leaves it."""
    site = tmp_path / "site"
    info = site / "invented_teachers-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: invented-teachers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    (site / "invented_teachers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "invented_teachers", raising=False)


def config(name: str = "short_names", **options: float) -> Config:
    teacher = {"name": name, "options": options}
    return Config.model_validate(
        {"task": "tissue", "cases": {"source": "tiles"}, "teacher": teacher}
    )


def test_an_installed_teacher_is_fitted_and_loaded_by_its_name(tmp_path: Path) -> None:
    run = config(weight=0.5)
    check_config(run)
    pq.write_table(pa.Table.from_pylist([], CASE_SCHEMA), tmp_path / "cases.parquet")
    CATALOGUE.write(tmp_path / "catalogue.parquet")
    reports: list[dict[str, float]] = []
    metrics = find_fitter(run).load()(tmp_path, run, tmp_path / "teacher", reports.append)
    assert metrics == {"validation.top1": 0.5}
    assert len(reports) == epochs_of(run)
    assert not is_recorded(run)
    teacher = load_teacher(tmp_path / "teacher")
    assert teacher.revision == "short_names@0.5"
    scores = teacher.score(columns([dict(blank_case("a", "b"))]))
    assert teacher.labels[int(np.argmax(scores))] == "TISSUE:plain"


def test_its_settings_and_task_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"teacher\.options: expected a weight"):
        find_fitter(config())
    disease = Config.model_validate({"teacher": {"name": "short_names"}})
    with pytest.raises(ConfigError, match="is a teacher of task tissue"):
        find_fitter(disease)


def test_an_unknown_name_is_refused_with_the_installed_ones() -> None:
    with pytest.raises(ConfigError, match=r"fusion, .*short_names.* \(found 'absent'\)"):
        check_config(config("absent"))


@pytest.mark.parametrize(
    ("name", "message"),
    [("broken", "ABSENT cannot be imported"), ("wrong", "TeacherPlugin, found function")],
)
def test_a_plugin_that_cannot_be_used_is_named(name: str, message: str) -> None:
    with pytest.raises(TeacherError, match=message):
        find_fitter(config(name))


def test_a_fitted_teacher_whose_package_is_gone_says_so(tmp_path: Path) -> None:
    (tmp_path / "teacher.json").write_text('{"name": "gone", "revision": "1"}')
    with pytest.raises(TeacherError, match=r"short_names.*found 'gone'; install the package"):
        load_teacher(tmp_path)


def test_the_example_of_the_manual_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "teachers.md").read_text(encoding="utf-8")
    [code] = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    [entry] = re.findall(r'^short_names = "(.+)"$', page, re.MULTILINE)
    site = tmp_path / "manual"
    info = site / "short_names-1.0.dist-info"
    (site / "short_names").mkdir(parents=True)
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: short-names\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[mint_ray.teachers]\nfrom_manual = {entry}\n")
    (site / "short_names" / "teacher.py").write_text(code)
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    run = config("from_manual", weight=0.1)
    CATALOGUE.write(tmp_path / "catalogue.parquet")
    find_fitter(run).load()(tmp_path, run, tmp_path / "teacher", lambda metrics: None)
    plugin = sys.modules["short_names.teacher"].TEACHER
    teacher = plugin.load(tmp_path / "teacher", load_manifest(tmp_path / "teacher"))
    scores = teacher.score(columns([dict(blank_case("a", "b"))]))
    assert np.exp(scores).sum() == pytest.approx(1.0, abs=1e-5)
    assert teacher.labels[int(np.argmax(scores))] == "TISSUE:plain"
