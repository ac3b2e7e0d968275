"""Griffe extension for the manual: examples of docstrings (`>>> ...`) as code blocks."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^>>> .*(?:\n(?!$).+)*", re.MULTILINE)


class Examples(griffe.Extension):
    """Extension that puts each example in the text of a docstring into a fenced block."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object before it is parsed."""
        if obj.docstring is not None and "Examples:" not in obj.docstring.value:
            fenced = EXAMPLE.sub(lambda match: f"```python\n{match[0]}\n```", obj.docstring.value)
            obj.docstring.value = fenced
