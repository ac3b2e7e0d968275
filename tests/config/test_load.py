"""Settings: unknown keys refused, overrides applied, errors that name field and value."""

import re
import shlex
from pathlib import Path

import pytest

from mint_ray.config.config import Config
from mint_ray.config.load import load_config, parse_config
from mint_ray.errors import ConfigError
from mint_ray.pipeline.check import load_run
from mint_ray.pipeline.graph import plan

CONFIGS = Path(__file__).parents[2] / "configs"


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "run.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"cases": {"sauce": 1}}, "cases.sauce"),
        ({"cases": {"sauce": 1}}, "known keys here: source, path"),
        ({"preferences": {"k": 0}}, "greater than or equal to 1 (found 0)"),
        ({"training": {"objective": "ppo"}}, "training.objective"),
        ({"training": {"deepspeed": "zero9"}}, "zero2"),
        ({"training": {"batch_size": 3}, "resources": {"train_workers": 2}}, "a multiple of 2"),
        ({"student": {"max_prompt_length": 900, "max_length": 900}}, "no answer fits"),
        ({"cases": {"source": "phenopackets"}}, "cases.path is required"),
        (
            {"training": {"max_steps": 9, "trials": {"learning_rates": [1e-3, 1e-3]}}},
            "at least two different rates, found [0.001, 0.001]",
        ),
        (
            {"training": {"trials": {"learning_rates": [1e-3, 1e-4]}}},
            "expected max_steps or max_tokens, of which each trial has the part",
        ),
        (
            {"training": {"deepspeed": "zero3", "watch": {"cases": 4}}},
            "watch.cases=4: expected deepspeed off, zero1 or zero2",
        ),
        ({"cases": {"validation_fraction": 0.5, "test_fraction": 0.5}}, "must be below 1"),
        ({"cases": {"folds": 3, "fold": 3}}, "must be below cases.folds=3"),
        ({"cases": {"fold": 1}}, "set cases.folds"),
        ({"cases": {"folds": 2}}, "nothing to train on"),
        (
            {"task": "tissue", "cases": {"source": "pannuke", "path": "x", "folds": 3}},
            "official_splits",
        ),
        ({"store": "s3://bucket/runs"}, "object-store URIs are not supported"),
    ],
)
def test_bad_settings_name_field_value_and_what_is_allowed(
    tree: dict[str, object], expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(tree)
    assert expected in str(caught.value)


def test_overrides_are_read_as_yaml(tmp_path: Path) -> None:
    file = write(tmp_path, "name: a\npreferences: {k: 3}\n")
    config = load_config(file, ["preferences.chosen_size=5", "knowledge.exclude_publications=null"])
    assert (config.preferences.chosen_size, config.knowledge.exclude_publications) == (5, None)


def test_a_name_that_one_section_has_needs_no_section(tmp_path: Path) -> None:
    file = write(tmp_path, "name: a\n")
    config = load_config(file, ["objective=dpo", "training.deepspeed=off", "name=b"])
    assert (config.training.objective, config.name) == ("dpo", "b")
    with pytest.raises(ConfigError, match=r"teacher\.batch_size.*training\.batch_size"):
        load_config(file, ["batch_size=3"])
    with pytest.raises(ConfigError, match="no_such_setting"):
        load_config(file, ["no_such_setting=3"])


def test_a_training_has_the_seed_of_the_run_or_its_own(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("name: x\n", encoding="utf-8")
    run, own = (load_config(file, ["seed=3", *more]) for more in ([], ["training.seed=0"]))
    assert (run.seed, run.training_seed) == (3, 3)
    assert (own.seed, own.training_seed) == (3, 0)
    assert plan(run)["prefer"].key == plan(own)["prefer"].key
    assert plan(run)["train"].key != plan(own)["train"].key


def test_an_elastic_number_of_workers(tmp_path: Path) -> None:
    file = write(tmp_path, "resources: {train_workers: [1, 4]}\n")
    with pytest.raises(ConfigError, match="deepspeed=off"):
        load_config(file)
    assert load_config(file, ["deepspeed=off"]).resources.train_workers == (1, 4)
    with pytest.raises(ConfigError, match="least, most"):
        load_config(file, ["deepspeed=off", "train_workers=[4, 1]"])


@pytest.mark.parametrize("override", ["preferences.k", "=3", "name.deeper.k=3", "seed=[1,"])
def test_malformed_overrides_are_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match="override"):
        load_config(write(tmp_path, "name: a\n"), [override])


@pytest.mark.parametrize("text", ["- a list\n", "name: [unclosed\n"])
def test_files_that_are_no_config_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load_config(write(tmp_path, text))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00bad", "name: é".encode("latin-1")])
def test_files_that_are_no_utf_8_are_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "run.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="not valid YAML in UTF-8"):
        load_config(file)


def test_an_unknown_teacher_is_refused_before_any_work() -> None:
    with pytest.raises(ConfigError, match=r"teacher\.name: expected one of fusion, knowledge"):
        load_run(CONFIGS / "demo.yaml", ["teacher.name=nope"])


DOCUMENTS = (
    "README.md",
    *(
        f"docs/{name}.md"
        for name in (
            "cli",
            "cluster",
            "configuration",
            "data",
            "getting-started",
            "promotion",
            "results",
            "serving",
            "training",
            "tuning",
        )
    ),
    "cluster/rayjob.yaml",
)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_of_the_documents_name_settings_that_are_legal(document: str) -> None:
    text = (CONFIGS.parent / document).read_text(encoding="utf-8").replace("\\\n", " ")
    setting = r"(?:'[a-z_.]+=[^'\n]+'|[a-z_.]+=[^\s`'$]+)"
    commands = re.findall(rf"(?:configs/(?!serve)\w+\.yaml|\bCONFIG\b)(?: +{setting})*", text)
    assert commands
    for command in commands:
        file, *overrides = shlex.split(command.replace("CONFIG", "configs/tune_demo.yaml"))
        load_run(CONFIGS.parent / file, overrides)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")


OWN = sorted(file for file in CONFIGS.glob("*.yaml") if file.name != "serve.yaml")  # Serve's form


@pytest.mark.parametrize("file", OWN, ids=lambda f: f.name)
def test_shipped_configs_are_valid(file: Path) -> None:
    assert isinstance(load_run(file), Config)


def test_every_field_is_documented() -> None:
    def undocumented(model: type, prefix: str) -> list[str]:
        missing = []
        for name, field in model.model_fields.items():  # type: ignore[attr-defined]
            if hasattr(field.annotation, "model_fields"):
                missing += undocumented(field.annotation, f"{prefix}{name}.")
            elif not field.description:
                missing.append(prefix + name)
        return missing

    assert undocumented(Config, "") == []


def test_an_error_names_the_command_line_where_it_is_from_there(tmp_path: Path) -> None:
    file = write(tmp_path, "name: a\ntraining: {batch_size: 0}\n")
    sound = tmp_path / "sound.yaml"
    sound.write_text("name: a\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(sound, ["training.bach_size=3"])
    assert str(caught.value).startswith("the command line: not usable:")
    assert "(override training.bach_size=3)" in str(caught.value)
    assert "sound.yaml" not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        load_config(file, ["objective=ppo"])
    assert "the command line" in str(caught.value).splitlines()[0]
    assert str(file) in str(caught.value).splitlines()[0]
    with pytest.raises(ConfigError) as caught:
        load_config(file, ["training.objective=dpo"])
    assert str(caught.value).startswith(f"{file}: not usable:")


@pytest.mark.parametrize("override", ["student.init_adapter=", "init_adapter=", "store= "])
def test_an_empty_override_is_refused(override: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a value, found none.*=null sets no value"):
        load_config(write(tmp_path, "name: a\n"), [override])
    assert load_config(tmp_path / "run.yaml", ["init_adapter=null"]).student.init_adapter is None


@pytest.mark.parametrize("name", ["demo.yaml", "demo"])
def test_a_bundled_config_is_found_by_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(name) == load_config(CONFIGS / "demo.yaml")
    write(tmp_path, "name: own\n").rename(tmp_path / "demo.yaml")
    assert load_config("demo.yaml").name == "own"


def test_an_unknown_config_is_answered_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"not found: dmeo\.yaml .*demo\.yaml"):
        load_config("dmeo.yaml")
    with pytest.raises(ConfigError, match="not found"):
        load_config("elsewhere/demo.yaml")
