import json

import numpy as np
import pytest
import torch
from comfy_host import ComfyHost, InterruptProcessingException, check_value
from PIL import Image

from mask2alpha import EdgeOptions, Mask2Alpha, Predictor
from mask2alpha.errors import InputError
from mask2alpha.model.config import PRESETS

HEIGHT, WIDTH = 40, 56
GRAPH = {
    "1": {"class_type": "LoadMask2Alpha", "inputs": {"weights": "", "device": "auto", "precision": "float32"}},
    "2": {
        "class_type": "MatteWithMask2Alpha",
        "inputs": {"model": ["1", 0], "image": ["image", 0], "mask": ["mask", 0]},
    },
}


@pytest.fixture
def host(plugins):
    return ComfyHost(plugins / "comfyui")


@pytest.fixture
def weights(tmp_path):
    Mask2Alpha(PRESETS["tiny"]).save_pretrained(tmp_path / "tiny.safetensors")
    return str(tmp_path / "tiny.safetensors")


@pytest.fixture
def images():
    return torch.rand(3, HEIGHT, WIDTH, 3)


@pytest.fixture
def masks():
    masks = torch.zeros(3, HEIGHT, WIDTH)
    for index in range(3):
        masks[index, 8 : 20 + 6 * index, 10:40] = 1
    return masks


def matte(host, weights, image, mask, **inputs):
    graph = json.loads(json.dumps(GRAPH))
    graph["2"]["inputs"] |= inputs
    graph["1"]["inputs"]["weights"] = weights
    return host.execute(graph, "2", {"image": ("IMAGE", image), "mask": ("MASK", mask)})


def expected(weights, image, mask):
    """What the library itself makes of one picture."""
    return Predictor(Mask2Alpha.from_pretrained(weights), device="cpu", dtype=torch.float32).predict(
        image.numpy(), mask.numpy()
    )


def test_edges_are_changed_as_in_the_library(host, weights, images, masks):
    alpha, foreground = matte(host, weights, images[:1], masks[:1], edges="shift=-2,feather=1")
    matted = expected(weights, images[0], masks[0]).with_edges(EdgeOptions(shift=-2, feather=1))
    np.testing.assert_allclose(alpha[0], matted.alpha, atol=1e-5)
    np.testing.assert_allclose(foreground[0], matted.foreground(), atol=1e-4)
    with pytest.raises(InputError, match="shift is 99"):
        matte(host, weights, images[:1], masks[:1], edges="shift=99")


def test_a_batch_of_images_and_masks_is_matted_pairwise(host, weights, images, masks):
    alpha, foreground = matte(host, weights, images, masks)
    assert alpha.shape == (3, HEIGHT, WIDTH)
    for index in range(3):
        single = expected(weights, images[index], masks[index])
        np.testing.assert_array_equal(alpha[index], single.alpha)
        np.testing.assert_array_equal(foreground[index], single.foreground())
    assert host.progress == [(1, 3), (2, 3), (3, 3)]


def test_one_mask_serves_every_image(host, weights, images, masks):
    alpha, _ = matte(host, weights, images, masks[:1])
    np.testing.assert_array_equal(alpha[2], expected(weights, images[2], masks[0]).alpha)


def test_one_image_with_several_masks_is_encoded_once(host, weights, images, masks, monkeypatch):
    encoded = []
    encode = Predictor.encode
    monkeypatch.setattr(Predictor, "encode", lambda self, image: encoded.append(1) or encode(self, image))
    alpha, foreground = matte(host, weights, images[:1], masks)
    assert len(encoded) == 1
    assert alpha.shape == (3, HEIGHT, WIDTH)
    assert foreground.shape == (3, HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(alpha[1], expected(weights, images[0], masks[1]).alpha)


def test_a_mask_without_batch_and_an_image_with_alpha_and_overshoot_are_accepted(host, weights, images, masks):
    image = torch.cat([images[:1] * 1.2 - 0.1, torch.ones(1, HEIGHT, WIDTH, 1)], dim=3)
    alpha, _ = matte(host, weights, image, masks[0])
    np.testing.assert_array_equal(alpha[0], expected(weights, image[0, ..., :3].clamp(0, 1), masks[0]).alpha)


def test_numbers_that_do_not_go_together_are_refused(host, weights, images, masks):
    with pytest.raises(InputError, match="3 images and 2 masks"):
        matte(host, weights, images, masks[:2])


def test_a_model_is_loaded_once_for_all_nodes_and_runs(host, weights, images, masks, monkeypatch):
    loaded = []
    load = Mask2Alpha.from_pretrained
    monkeypatch.setattr(Mask2Alpha, "from_pretrained", lambda source: loaded.append(source) or load(source))
    for _ in range(2):
        matte(host, weights, images[:1], masks[:1])
    host.execute({"7": {**GRAPH["1"], "inputs": {**GRAPH["1"]["inputs"], "weights": weights}}}, "7", {})
    assert loaded == [weights]


def test_the_button_stops_between_pictures(host, weights, images, masks):
    host.is_interrupted = True
    with pytest.raises(InterruptProcessingException):
        matte(host, weights, images, masks)
    assert not host.progress


@pytest.mark.parametrize("name", ["cutout_api.json", "selection_api.json"])
def test_the_workflows_are_of_these_nodes(host, plugins, name):
    workflow = json.loads((plugins / "comfyui" / name).read_text(encoding="utf-8"))
    for node in workflow.values():
        for value in node["inputs"].values():
            assert not isinstance(value, list) or value[0] in workflow
        if schema := host.schemas.get(node["class_type"]):
            asked = {each.id: each for each in schema.inputs}
            assert node["inputs"].keys() <= asked.keys()
            assert {each.id for each in schema.inputs if not each.optional} <= node["inputs"].keys()
            for key, value in node["inputs"].items():
                if not isinstance(value, list):
                    check_value(asked[key], value)


def test_every_node_has_a_workflow_and_a_line_in_the_readme(host, plugins):
    folder = plugins / "comfyui"
    shown = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*_api.json"))
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for node_id, schema in host.schemas.items():
        assert node_id in shown
        assert f"**{schema.display_name}**" in readme


def test_points_are_selected_in_each_image(host, images):
    asked = []

    class Selecting:
        def encode(self, image):
            return image

        def select(self, image, **prompt):
            asked.append(prompt)
            return np.ones(image.shape[:2], bool)

    node = host.nodes["SelectWithMask2Alpha"]
    (selection,) = node.EXECUTE_NORMALIZED(
        model=Selecting(), image=images, points="50%,25%\n-1,2; 100%,100%; 0,150%", scale="part"
    ).result
    assert selection.shape == (3, HEIGHT, WIDTH)
    assert selection.dtype == torch.float32
    points = [(WIDTH / 2, HEIGHT / 4), (WIDTH - 1, HEIGHT - 1), (0, 1.5 * HEIGHT)]  # the model refuses the last
    assert asked == 3 * [{"points": points, "not_points": [(1, 2)], "scale": "part"}]
    with pytest.raises(InputError, match="'here' is not a point"):
        node.EXECUTE_NORMALIZED(model=Selecting(), image=images, points="here", scale="part")


def test_several_masks_become_a_batch(host, masks):
    node = host.nodes["MasksForMask2Alpha"]
    (batch,) = node.EXECUTE_NORMALIZED(mask_1=masks[0], mask_3=masks[1:], mask_2=None).result
    assert torch.equal(batch, masks)
    with pytest.raises(InputError, match="different sizes"):
        node.EXECUTE_NORMALIZED(mask_1=masks[0], mask_2=masks[:, :8])


def test_the_edge_node_writes_what_the_matte_node_reads(host, weights, images, masks):
    graph = json.loads(json.dumps(GRAPH))
    graph["1"]["inputs"]["weights"] = weights
    neutral = {each.id: each.default for each in host.schemas["EdgesForMask2Alpha"].inputs}
    graph["3"] = {"class_type": "EdgesForMask2Alpha", "inputs": neutral | {"shift": -2.0, "feather": 1.0}}
    graph["2"]["inputs"]["edges"] = ["3", 0]
    values = {"image": ("IMAGE", images[:1]), "mask": ("MASK", masks[:1])}
    alpha, _ = host.execute(graph, "2", values)
    matted = expected(weights, images[0], masks[0]).with_edges(EdgeOptions(shift=-2, feather=1))
    np.testing.assert_allclose(alpha[0], matted.alpha, atol=1e-5)
    assert host.nodes["EdgesForMask2Alpha"].EXECUTE_NORMALIZED(**neutral).result == ("",)


def test_the_registry_finds_what_it_needs(plugins):
    tomllib = pytest.importorskip("tomllib", reason="comes with Python 3.11")
    about = tomllib.loads((plugins / "comfyui" / "pyproject.toml").read_text())
    assert about["project"]["name"] == "mask2alpha-nodes"
    assert about["project"]["dependencies"] == ["mask2alpha"]
    assert about["tool"]["comfy"]["DisplayName"]


@pytest.mark.slow
def test_the_shipped_weights_matte_the_example(host, plugins):
    examples = plugins.parent / "examples"
    photo, mask = (
        torch.from_numpy(np.asarray(Image.open(path).convert(mode), np.float32) / 255)[None]
        for path, mode in ((examples / "photos/astronaut.png", "RGB"), (examples / "masks/astronaut.png", "L"))
    )
    alpha, _ = matte(host, "small", photo, mask)
    assert ((alpha > 0.05) & (alpha < 0.95)).float().mean() > 0.003  # soft where the mask was hard
    assert (alpha - mask).abs().mean() < 0.05


def test_masks_mean_what_they_mean_everywhere_else(host, weights, images, masks):
    plain, _ = matte(host, weights, images[:1], masks[:1])
    overshooting = torch.where(masks[:1] > 0, 1.2, -0.15)
    resampled, _ = matte(host, weights, images[:1], overshooting)
    assert torch.equal(plain, resampled)
    for values, reason in ((7 * masks[:1], "map of labels"), (255 * masks[:1], "divide it by 255")):
        with pytest.raises(InputError, match=reason):
            matte(host, weights, images[:1], values)


def test_a_mask_of_another_aspect_is_refused_and_an_empty_one_fits(host, weights, images, masks):
    with pytest.raises(InputError, match="another aspect"):
        matte(host, weights, images[:1], masks[:1, :, :20])
    with pytest.warns(UserWarning, match="mask is empty"):  # what the host's LoadImage gives where there is no alpha
        alpha, _ = matte(host, weights, images[:1], torch.zeros(1, 64, 64))
    assert not alpha.any()


@pytest.mark.parametrize(
    "way", ["half precision", "bool", "a channel axis", "overshoot of bicubic", "one ulp", "row-major view"]
)
def test_masks_of_other_nodes_are_accepted(host, weights, images, masks, way):
    given = {
        "half precision": masks[:1].half(),
        "bool": masks[:1] > 0,
        "a channel axis": masks[:1, None],
        "overshoot of bicubic": masks[:1] * 1.38 - 0.19,
        "one ulp": torch.nextafter(masks[:1], torch.tensor(2.0)),
        "row-major view": masks[:1].transpose(1, 2).contiguous().transpose(1, 2),
    }[way]
    plain, _ = matte(host, weights, images[:1], masks[:1])
    alpha, _ = matte(host, weights, images[:1], given)
    torch.testing.assert_close(alpha, plain)


@pytest.mark.parametrize("label", [2, 7, 100])
def test_maps_of_labels_are_refused(host, weights, images, masks, label):
    with pytest.raises(InputError, match=f"map of labels.*mask == {label}"):
        matte(host, weights, images[:1], label * masks[:1])


@pytest.mark.filterwarnings("ignore:.*was resized")
@pytest.mark.parametrize("size", [(20, 28), (80, 112), (41, 57)])
def test_a_mask_of_the_images_aspect_is_scaled(host, weights, images, masks, size):
    scaled = torch.nn.functional.interpolate(masks[:1, None], size=size, mode="nearest")[:, 0]
    alpha, _ = matte(host, weights, images[:1], scaled)
    assert alpha.shape == (1, HEIGHT, WIDTH)


@pytest.mark.parametrize(("size", "reason"), [((56, 40), "swapped"), ((40, 40), "aspect"), ((512, 512), "aspect")])
def test_a_mask_of_another_shape_is_refused(host, weights, images, masks, size, reason):
    other = torch.nn.functional.interpolate(masks[:1, None], size=size, mode="nearest")[:, 0]
    with pytest.raises(InputError, match=reason):
        matte(host, weights, images[:1], other)


@pytest.mark.parametrize("gap", ["row", "three rows", "diagonal"])
def test_a_thin_gap_in_a_full_mask_hardly_moves_alpha(host, weights, gap):
    mask = torch.ones(1, 128, 192)
    if gap == "diagonal":
        mask[:, torch.arange(128), torch.arange(128)] = 0
    else:
        mask[:, 60 : 61 if gap == "row" else 63] = 0
    alpha, _ = matte(host, weights, torch.rand(1, 128, 192, 3), mask)
    assert alpha.mean() > 1 - 11 * (1 - mask).mean()
