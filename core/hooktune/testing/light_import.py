"""Whether a plugin's module is light to import, found out in a process of its own."""

import json
import subprocess
import sys
from types import ModuleType
from typing import Final

from hooktune.testing.report import Fault

HEAVY_MODULES: Final = ("torch", "mlflow", "sentence_transformers", "transformers")
_TIMEOUT: Final = 60
_MARK: Final = "hooktune-heavy-import"

# A heavy module is stopped where it would run, which takes no time and knows who imports it; merely
# looking whether it is installed stays allowed.
_PROGRAM: Final = """
import importlib.abc, importlib.machinery, importlib.util, json, os, sys
name, file, path, heavy, mark = json.loads(sys.argv[1])
sys.path[:] = path

class Stop(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name in heavy else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        frame, line = sys._getframe(), "?"
        while frame:
            code = frame.f_code.co_filename
            if not code.startswith("<") and "importlib" not in code:
                line = f"{code}, line {frame.f_lineno}"
            frame = frame.f_back
        print(json.dumps([mark, module.__name__, line]), flush=True)
        os._exit(0)

sys.meta_path.insert(0, Stop())
try:
    spec = importlib.util.find_spec(name)
except (ImportError, ValueError):
    spec = None
if spec is not None and spec.origin == file:
    importlib.import_module(name)
else:
    spec = importlib.util.spec_from_file_location(name, file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
"""


def check_light_import(module: ModuleType) -> None:
    """Import a module in a fresh interpreter.

    Raises:
        Fault: It imports one of `HEAVY_MODULES`, fails or does not come to an end.
    """
    request = json.dumps(
        [module.__name__, str(module.__file__), sys.path, list(HEAVY_MODULES), _MARK]
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, request],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Fault(
            f"importing {module.__name__} does not end within {_TIMEOUT} seconds. Do the work in "
            "the hooks; at import only define them."
        ) from error
    *_, last = done.stdout.splitlines() or [""]
    if last.startswith(f'["{_MARK}"'):
        _, heavy, line = json.loads(last)
        raise Fault(
            f"importing {module.__name__} imports {heavy} ({line}), which takes seconds whenever "
            "plugins are looked at. Move that import into the functions that use it, `from "
            "hooktune import train` too, and under `if TYPE_CHECKING:` for annotations."
        )
    if done.returncode:
        *_, reason = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise Fault(
            f"{module.__name__} cannot be imported in a fresh process: {reason}. Declare what it "
            "needs as a dependency, and do not lean on what other modules have imported."
        )
