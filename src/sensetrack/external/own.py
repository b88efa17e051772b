"""A second Python of our own beside this one, for work that the interpreter's lock allows no thread."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def beside(module: str, function: str) -> Iterator[bool]:
    """Call a function of this package without arguments in another process, as long as the block lasts.

    What it has not done by then is given up. Nothing is started, and False is yielded, where there is no second core or
    where this interpreter is part of another program, such as QGIS: starting that would open its windows.
    """
    if not module.startswith("sensetrack.") or not function.isidentifier():
        raise ValueError(f"not a function of sensetrack: {module}.{function}")
    if (os.cpu_count() or 1) < 2 or not Path(sys.executable or "").stem.lower().startswith("python"):
        yield False
        return
    code = f"import gc; gc.disable()\nfrom {module} import {function}; {function}()"
    nowhere = subprocess.DEVNULL
    try:
        process = subprocess.Popen([sys.executable, "-c", code], stdin=nowhere, stdout=nowhere, stderr=nowhere)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        process.kill()
        process.wait()
