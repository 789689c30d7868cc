"""What can be known on Linux of how the package behaves on Windows and macOS."""

import os
import subprocess
import sys

WITHOUT_UNIX = """
import importlib, os, pkgutil, sys
for name in ("fcntl", "grp", "posix_ipc", "pwd", "resource", "termios"):
    sys.modules[name] = None  # importing it fails
import mask2alpha
for name in ("fork", "getuid", "sched_getaffinity", "sysconf"):
    delattr(os, name)
names = [module.name for module in pkgutil.walk_packages(mask2alpha.__path__, "mask2alpha.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
from mask2alpha.serving.app import usable_cores
print(len(names), usable_cores())
"""


def test_every_module_imports_without_what_only_unix_has() -> None:
    result = subprocess.run([sys.executable, "-c", WITHOUT_UNIX], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    num_modules, num_cores = map(int, result.stdout.split())
    assert num_modules > 150
    assert num_cores == os.cpu_count()
