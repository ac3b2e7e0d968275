"""The tiny base model, for the stages that train."""

from tests.students.conftest import base_folder, tokenizer

__all__ = ["base_folder", "tokenizer"]
