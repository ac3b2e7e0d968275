"""Show the examples of docstrings (`>>> ...`) as code in the manual."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^>>> .*(?:\n(?!$).+)*", re.MULTILINE)


class Examples(griffe.Extension):
    """Put each example that stands in the text of a docstring into a fenced block."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of one object before it is parsed."""
        if obj.docstring is not None and "Examples:" not in obj.docstring.value:
            fenced = EXAMPLE.sub(lambda found: f"```python\n{found[0]}\n```", obj.docstring.value)
            obj.docstring.value = fenced
