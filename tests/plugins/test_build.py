import zipfile

import build
import pytest


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (
            "comfyui",
            {
                "mask2alpha/__init__.py",
                "mask2alpha/nodes.py",
                "mask2alpha/pyproject.toml",
                "mask2alpha/requirements.txt",
                "mask2alpha/cutout_api.json",
                "mask2alpha/selection_api.json",
            },
        ),
        ("gimp", {"mask2alpha/mask2alpha.py", "mask2alpha/service_client.py"}),
        ("krita", {"mask2alpha.desktop", "mask2alpha/__init__.py", "mask2alpha/service_client.py"}),
        ("nuke", {"mask2alpha/menu.py", "mask2alpha/mask2alpha_nuke.py", "mask2alpha/service_client.py"}),
        ("fusion", {"mask2alpha/mask2alpha_fusion.py", "mask2alpha/service_client.py"}),
        ("blender", {"__init__.py", "blender_manifest.toml", "service_client.py"}),
    ],
)
def test_the_zip_holds_what_the_host_wants(host, expected, tmp_path):
    with zipfile.ZipFile(build.build(host, tmp_path)) as archive:
        assert set(archive.namelist()) == expected


def test_gimps_script_can_be_executed(tmp_path):
    with zipfile.ZipFile(build.build("gimp", tmp_path)) as archive:
        assert archive.getinfo("mask2alpha/mask2alpha.py").external_attr >> 16 == 0o755


def test_the_zip_is_the_same_every_time(tmp_path):
    first, second = (build.build("blender", tmp_path / name).read_bytes() for name in ("a", "b"))
    assert first == second
