import subprocess
import sys

import pytest

import mask2alpha

PUBLIC = {
    "PRESETS",
    "CheckpointError",
    "EdgeOptions",
    "EncodedImage",
    "ImageFileError",
    "InputError",
    "Mask2Alpha",
    "Mask2AlphaError",
    "Matte",
    "ModelConfig",
    "Predictor",
    "RunOptions",
    "TrainingError",
    "__version__",
}


def test_the_public_names_are_pinned() -> None:
    assert set(mask2alpha.__all__) == PUBLIC
    assert len(mask2alpha.__all__) == len(PUBLIC)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_can_be_reached_and_says_what_it_is(name: str) -> None:
    value = getattr(mask2alpha, name)
    if isinstance(value, type):
        assert value.__doc__
        assert value.__module__.startswith("mask2alpha.")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = mask2alpha.no_such_name


def test_dir_lists_the_names_before_they_are_loaded() -> None:
    assert set(dir(mask2alpha)) >= PUBLIC


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, mask2alpha; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
