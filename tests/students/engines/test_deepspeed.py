"""DeepSpeed's extension, which is built at the first use."""

import subprocess
import sys
from pathlib import Path

from torch.utils.cpp_extension import get_default_build_root


def test_a_build_that_was_killed_holds_up_nobody(tmp_path: Path) -> None:
    """torch would wait for the file of the killed process for ever."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from deepspeed.accelerator import get_accelerator\n"
        "name = get_accelerator().create_op_builder('ShareMemCommBuilder').name\n"
        "from mint_ray.students.engines.deepspeed import _build_extension\n"
        "_build_extension()\n"  # whatever the machine's cache holds, it is built now
        "lock = next(Path(sys.argv[1]).glob(f'**/{name}')) / 'lock'\n"
        "lock.touch()\n"
        "if not os.fork():\n"
        "    from deepspeed.ops.op_builder.builder import OpBuilder\n"
        "    OpBuilder._loaded_ops.clear()\n"
        "    _build_extension()\n"
        "    os._exit(3)\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]), lock.exists())\n"
    )
    command = [sys.executable, "-c", code, str(get_default_build_root())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.split()[-2:] == ["3", "False"]
