"""What `info` and `doctor` say."""

import json
import os
import subprocess
import sys
from importlib.metadata import metadata

import pytest
from click.testing import CliRunner

from mask2alpha._version import __version__
from mask2alpha.checkpoints import shipped_names
from mask2alpha.cli import doctor
from mask2alpha.cli.main import main


def test_info_is_a_few_lines_that_name_each_shipped_model() -> None:
    result = CliRunner().invoke(main, ["info"])
    lines = result.output.splitlines()
    assert result.exit_code == 0
    assert len(lines) <= 12
    assert max(map(len, lines[:6])) < 120
    assert lines[0].split() == ["mask2alpha", __version__]
    for name in shipped_names():
        line = next(line for line in lines if line.startswith(f"{name} "))
        assert " MB" in line
        assert "Apache-2.0" in line
        assert "SAD " in line


def test_info_as_json_has_everything() -> None:
    told = json.loads(CliRunner().invoke(main, ["info", "--json"]).output)
    assert told["packages"]["torch"]
    assert set(told["weights"]) == set(shipped_names())
    assert told["weights"]["base"]["model_config"]["encoder"]["kind"] == "backbone"
    one = json.loads(CliRunner().invoke(main, ["info", "--json", "--model", "small"]).output)
    assert set(one) == {"weights"}
    assert one["weights"]["small"] == told["weights"]["small"]


def test_info_of_one_model_lists_its_training_data() -> None:
    output = CliRunner().invoke(main, ["info", "--model", "small"]).output
    assert "licence: Apache-2.0" in output
    assert "training_data:\n  - " in output
    assert "  num_heads: 3" in output


def test_doctor_mattes_and_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SIDE", 256)
    monkeypatch.setattr(doctor, "_is_installed", lambda package: package not in {"pymatting", "OpenEXR"})
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None if name == "ffprobe" else f"/bin/{name}")
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0
    assert (
        "peers        other methods in `compare`: pymatting missing; pip install 'mask2alpha[peers]'" in result.output
    )
    assert "OpenEXR missing; pip install 'mask2alpha[formats]'" in result.output
    assert "`video`: ffprobe not on the PATH" in result.output
    assert result.output.splitlines()[-1] == "Matting works."


def test_doctor_fails_where_matting_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, photo: object, mask: object) -> None:
        raise RuntimeError("no kernel")

    monkeypatch.setattr("mask2alpha.pipeline.predictor.Predictor.predict", refuse)
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert "matte        failed: no kernel" in result.output


def test_an_extra_has_the_packages_of_those_that_it_contains() -> None:
    assert {"scipy", "opencv-python-headless"} <= set(doctor.packages_of("train"))
    assert {*doctor.FEATURES, "all"} == set(metadata("mask2alpha").get_all("Provides-Extra") or [])
    assert all(list(doctor.packages_of(extra)) for extra in doctor.FEATURES)


@pytest.mark.parametrize(
    ("given", "expected"), [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")]
)
def test_the_command_lets_waiting_threads_sleep_unless_the_user_chose(given: dict[str, str], expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if "OMP" not in name} | given
    code = "import mask2alpha.__main__, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == expected
