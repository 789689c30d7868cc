"""Optional dependencies: packages that only some features need and that extras of this package install."""

from importlib import import_module
from typing import Any

from mask2alpha.errors import InputError


def import_extra(module: str, *, extra: str, purpose: str) -> Any:
    """Import a module of an optional dependency.

    Args:
        module: Its full name.
        extra: The extra of mask2alpha that installs it.
        purpose: The feature that needs it, for the message.

    Raises:
        InputError: The module is not installed; the message names the extra.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise InputError(f"{purpose} needs {package}: pip install 'mask2alpha[{extra}]'") from error
