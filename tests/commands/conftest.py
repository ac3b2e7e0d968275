"""Fixtures of the students' tests that these tests use too."""

from tests.students.conftest import base_folder, tokenizer

__all__ = ["base_folder", "tokenizer"]
