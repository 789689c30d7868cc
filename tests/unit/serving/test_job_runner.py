"""What a worker does with pictures, good and bad, in this process: no front, no other process."""

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from fakes import FakePredictor
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.encode import Tags, encode_image
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.pipeline.abstract import AbstractPredictor
from mask2alpha.pipeline.matte import Matte
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.serving.job_runner import EncodingCache, JobRunner
from mask2alpha.serving.jobs import (
    EncodeJob,
    HintsJob,
    JobResult,
    MatteJob,
    Selection,
    SelectJob,
    ShowJob,
    Stroke,
    Target,
)
from mask2alpha.serving.problems import ProblemError
from service_parts import left_half, photo, to_file

ONE_MASK = [Target(mask=0)]


class Bench:
    """A runner, and a folder with the uploads."""

    def __init__(self, folder: Path, predictor: AbstractPredictor | None = None, **limits: int) -> None:
        self.folder = folder
        self.fake = FakePredictor()
        defaults = {"max_pixels": 1_000_000, "max_bytes": 1_000_000, "cache_bytes": 10_000_000}
        self.runner = JobRunner(predictor or self.fake, **{**defaults, **limits})
        self.stages: list[tuple[str, float]] = []
        self.save("photo", to_file(photo()))
        self.save("mask", to_file(left_half()))

    def save(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def matte(self, **wishes: Any) -> JobResult:
        defaults = {"targets": ONE_MASK, "masks": [self.folder / "mask"], "photo": self.folder / "photo"}
        return self.do(MatteJob(folder=self.folder, **{**defaults, **wishes}))

    def do(self, job: EncodeJob | ShowJob | SelectJob | HintsJob | MatteJob) -> JobResult:
        return self.runner.run(job, lambda stage, done: self.stages.append((stage, done)))

    def read(self, result: JobResult) -> NDArray[Any]:
        return np.asarray(Image.open(self.folder / result.file_name))

    def parts(self, result: JobResult) -> dict[str, NDArray[Any]]:
        with zipfile.ZipFile(self.folder / result.file_name) as archive:
            return {name: np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in archive.namelist()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="module")
def tiny() -> Predictor:
    torch.manual_seed(0)
    return Predictor(Mask2Alpha(PRESETS["tiny"]), device="cpu", dtype=torch.float32)


def test_one_picture_comes_as_it_is(bench: Bench) -> None:
    result = bench.matte()
    assert (result.width, result.height, result.media_type) == (30, 20, "image/png")
    assert np.array_equal(bench.read(result), left_half())
    dones = [done for _, done in bench.stages]
    assert dones == sorted(dones)
    assert [stage for stage, _ in bench.stages] == ["reading", "encoding", "masking", "matting", "writing"]


def test_several_pictures_of_several_objects_come_packed(bench: Bench) -> None:
    bench.save("other", to_file(255 - left_half()))
    wishes = {
        "targets": [Target(mask=1), Target(name="left", mask=0)],
        "masks": [bench.folder / "mask", bench.folder / "other"],
        "outputs": ["alpha", "mask"],
    }
    parts = bench.parts(bench.matte(**wishes))
    assert list(parts) == ["object-1/alpha.png", "object-1/mask.png", "left/alpha.png", "left/mask.png"]
    assert np.array_equal(parts["object-1/alpha.png"], 255 - left_half())
    assert np.array_equal(parts["left/alpha.png"], left_half())
    assert bench.fake.num_encoded == 1
    form = bench.matte(**wishes, answer="form")
    boundary = form.media_type.split("boundary=")[1].encode()
    pieces = (bench.folder / form.file_name).read_bytes().split(b"--" + boundary)
    assert len(pieces) == 6
    head, picture = pieces[3].split(b"\r\n\r\n", 1)
    assert b'name="left/alpha"' in head
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(picture))), left_half())


def test_a_kept_photograph_is_read_and_encoded_once(bench: Bench) -> None:
    bench.do(EncodeJob(photo=bench.folder / "photo", key="cat"))
    photo_path = bench.folder / "photo"
    photo_path.write_bytes(b"gone")
    assert bench.read(bench.matte(key="cat")).shape == (20, 30)
    assert bench.read(bench.matte(key="cat", outputs=["cutout"])).shape == (20, 30, 4)
    assert (bench.fake.num_encoded, bench.fake.num_predicted) == (1, 1)
    bench.matte(key="cat", targets=[Target(mask=0, strokes=[Stroke(points=[(25, 10)], radius=2)])])
    assert bench.fake.num_predicted == 2
    bench.runner.forget("cat")
    with pytest.raises(ProblemError, match="not a picture"):
        bench.matte(key="cat")


def test_a_photograph_that_is_no_larger_than_a_preview_is_encoded_once(bench: Bench) -> None:
    bench.do(EncodeJob(photo=bench.folder / "photo", key="cat", max_side=1000))
    for max_side in (None, 1000, 30):
        bench.matte(key="cat", max_side=max_side)
    assert bench.fake.num_encoded == 1
    assert bench.read(bench.matte(key="cat", max_side=15)).shape == (10, 15)
    assert bench.fake.num_encoded == 2


def test_a_preview_is_smaller_and_takes_masks_of_either_size(bench: Bench) -> None:
    result = bench.matte(max_side=15)
    assert np.array_equal(bench.read(result)[:, [0, 5, 9, 14]], np.tile([255, 255, 0, 0], (10, 1)))
    assert result.warnings == []
    bench.save("mask", to_file(left_half(15, 10)))
    assert np.array_equal(bench.read(bench.matte(max_side=15)), left_half(15, 10)[:, :])
    assert bench.read(bench.matte(max_side=1000)).shape == (20, 30)


def test_a_mask_of_another_size_is_resized_with_a_warning(bench: Bench) -> None:
    bench.save("mask", to_file(left_half(60, 40)))
    result = bench.matte()
    assert result.warnings == ["mask 1 of 60 x 40 was resized to the photograph's 30 x 20"]
    assert np.array_equal(bench.read(result), left_half())


def test_a_region_has_the_same_pixels_as_the_whole(bench: Bench) -> None:
    kinds = ["alpha", "cutout", "comparison", "mask"]
    whole = bench.parts(bench.matte(outputs=kinds))
    part = bench.parts(bench.matte(outputs=kinds, region=(10, 4, 20.5, 12)))
    for kind in ("alpha", "cutout", "mask"):
        assert np.array_equal(part[f"object-1/{kind}.png"], whole[f"object-1/{kind}.png"][4:12, 10:21])
    panels = np.split(whole["object-1/comparison.png"], 4, axis=1)
    expected = np.concatenate([panel[4:12, 10:21] for panel in panels], axis=1)
    assert np.array_equal(part["object-1/comparison.png"], expected)
    with pytest.raises(ProblemError, match="no pixel"):
        bench.matte(region=(40, 0, 50, 5))


def test_strokes_and_boxes_make_masks(bench: Bench, rng: np.random.Generator) -> None:
    stroke = Stroke(points=[(0, 10), (30, 10)], radius=3)
    result = bench.matte(targets=[Target(strokes=[stroke])], outputs=["mask"])
    mask = bench.read(result)
    assert mask[10].all()
    assert not mask[[0, 19]].any()
    image = rng.integers(0, 40, (80, 90, 3), dtype=np.uint8)
    image[20:60, 30:70] += np.uint8(200)
    bench.save("photo", to_file(image))
    mask = bench.read(bench.matte(targets=[Target(box=(20, 10, 80, 70))], outputs=["mask"]))
    assert mask[40, 50] == 255
    assert mask[40, 25] == 0


def test_a_selection_of_a_kept_photograph_is_a_mask(tmp_path: Path) -> None:
    predictor = Predictor(Mask2Alpha(PRESETS["tiny_backbone"]), device="cpu", dtype=torch.float32)
    bench = Bench(tmp_path, predictor)
    job = SelectJob(photo=tmp_path / "photo", folder=tmp_path, key="k", selection=Selection(boxes=[(4, 4, 20, 20)]))
    mask = bench.read(bench.do(job))
    assert set(np.unique(mask)) <= {0, 255}
    assert not mask[:4].any()
    dot = job.model_copy(update={"selection": Selection(points=[(9, 9)], not_points=[(20, 9)])})
    mask = bench.read(bench.do(dot))
    assert mask[9, 9] == 255
    assert mask[9, 20] == 0
    line = job.model_copy(update={"selection": Selection(strokes=[[(4, 9), (9, 9)]], not_strokes=[[(20, 2), (20, 9)]])})
    mask = bench.read(bench.do(line))
    assert mask[9, 4:10].all()
    assert not mask[2:10, 20].any()
    outside = job.model_copy(update={"selection": Selection(points=[(4000, 9)])})
    with pytest.raises(ProblemError, match="outside the photograph"):
        bench.do(outside)


def test_a_selection_begins_from_a_mask_of_either_size(tmp_path: Path) -> None:
    predictor = Predictor(Mask2Alpha(PRESETS["tiny_backbone"]), device="cpu", dtype=torch.float32)
    bench = Bench(tmp_path, predictor)
    job = SelectJob(photo=tmp_path / "photo", folder=tmp_path, key="k", selection=Selection(), mask=tmp_path / "given")
    for size in ((30, 20), (15, 10)):
        bench.save("given", to_file(left_half(*size)))
        mask = bench.read(bench.do(job))
        assert mask[:, :14].all()
        assert not mask[:, 15:].any()
        assert bench.read(bench.do(job.model_copy(update={"max_side": 15}))).shape == (10, 15)
    dot = job.model_copy(update={"selection": Selection(not_points=[(3, 9)])})
    assert bench.read(bench.do(dot))[9, 3] == 0
    bench.save("given", b"notes")
    with pytest.raises(ProblemError, match="mask"):
        bench.do(job)


def test_hints_tell_apart_what_the_tokens_do(tmp_path: Path) -> None:
    predictor = Predictor(Mask2Alpha(PRESETS["tiny_backbone"]), device="cpu", dtype=torch.float32)
    bench = Bench(tmp_path, predictor)
    result = bench.do(HintsJob(photo=tmp_path / "photo", folder=tmp_path, key="k", max_side=15))
    hints = json.loads((tmp_path / result.file_name).read_text())
    tokens = predictor.find_tokens(bench.runner.cache["k", 15].encoded)
    assert (hints["rows"], hints["columns"]) == tokens.grid
    assert (hints["width"], hints["height"]) == (2 * tokens.spanned[1], 2 * tokens.spanned[0])
    features, prior = (np.frombuffer(base64.b64decode(hints[name]), np.int8) / 127 for name in ("features", "prior"))
    assert len(prior) == len(tokens.features)
    features = features.reshape(len(prior), -1)
    assert features @ features.T == pytest.approx((tokens.features @ tokens.features.T).numpy(), abs=0.15)


def test_a_selection_needs_a_backbone(tmp_path: Path, tiny: Predictor) -> None:
    job = SelectJob(photo=tmp_path / "photo", folder=tmp_path, selection=Selection(points=[(9, 9)]))
    for predictor, words in ((None, "selects nothing"), (tiny, "backbone, such as 'base'")):
        with pytest.raises(ProblemError, match=words):
            Bench(tmp_path, predictor).do(job)


def test_backgrounds_are_colours_or_pictures(bench: Bench) -> None:
    composite = bench.read(bench.matte(outputs=["composite"], background="#00ff00"))
    assert np.array_equal(composite[:, 15:], np.broadcast_to([0, 255, 0], (20, 15, 3)))
    bench.save("background", to_file(np.full((4, 6, 3), 7, dtype=np.uint8)))
    composite = bench.read(bench.matte(outputs=["composite"], background_photo=bench.folder / "background"))
    assert np.array_equal(composite[:, 15:], np.full((20, 15, 3), 7))


@pytest.mark.parametrize("background", ["nocolour", "/etc/passwd", "http://evil.example/x.png", "file:///etc/passwd"])
def test_attack_a_background_that_is_a_file_or_an_address(bench: Bench, background: str) -> None:
    with pytest.raises(ProblemError, match="is not a colour"):
        bench.matte(outputs=["composite"], background=background)


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        ({"outputs": ["cutout"], "format": "jpeg"}, "JPEG cannot hold an alpha"),
        ({"outputs": ["alpha"], "format": "webp", "bits": 16}, "uint16|16-bit"),
        ({"outputs": ["passes"]}, "exr"),
    ],
)
def test_what_no_format_holds_is_refused_before_any_work(bench: Bench, wishes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ProblemError, match=reason) as problem:
        bench.matte(**wishes)
    assert problem.value.kind == "invalid-field"
    assert bench.fake.num_encoded == 0


@pytest.mark.parametrize("kind", ["passes", "cutout", "composite"])
def test_light_keeps_its_primaries_and_its_values_above_white(bench: Bench, kind: str) -> None:
    openexr = pytest.importorskip("OpenEXR")
    primaries = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)
    light = np.full((20, 30, 3), 3, np.float16)
    bench.save("photo", encode_image(light, "a.exr", tags=Tags(primaries=primaries)))
    result = bench.matte(outputs=[kind], format="exr", region=(2, 3, 12, 9))
    with openexr.File(str(bench.folder / result.file_name), separate_channels=True) as file:
        assert file.header()["chromaticities"] == pytest.approx(primaries)
        assert (file.channels()["R"].pixels == 3).all()
        assert file.channels()["R"].pixels.shape == (6, 10)


@pytest.mark.parametrize(
    ("spelling", "media_type"),
    [
        ("jpg", "image/jpeg"),
        ("JPEG", "image/jpeg"),
        ("TIF", "image/tiff"),
        ("tiff", "image/tiff"),
        ("Png", "image/png"),
    ],
)
def test_formats_may_be_spelled_either_way(bench: Bench, spelling: str, media_type: str) -> None:
    assert bench.matte(format=spelling).media_type == media_type


@pytest.mark.parametrize("spelling", ["gif", "mov", "", "png,jpg"])
def test_formats_that_are_not_written_are_refused_with_those_that_are(bench: Bench, spelling: str) -> None:
    with pytest.raises(ValidationError, match="accepted: png, tiff, exr, webp, jpeg, avif"):
        bench.matte(format=spelling)


def test_the_photograph_is_shown_upright_in_8_bits(bench: Bench) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    bench.save("photo", to_file(photo(), "JPEG", exif=exif))
    result = bench.do(ShowJob(photo=bench.folder / "photo", folder=bench.folder, format="png", max_side=15))
    assert (result.width, result.height) == (20, 30)
    assert bench.read(result).shape == (15, 10, 3)


def test_the_network_is_looked_into(tmp_path: Path, tiny: Predictor) -> None:
    bench = Bench(tmp_path, tiny)
    result = bench.matte(outputs=["active", "steps", "error"], steps=3)
    parts = bench.parts(result)
    assert set(parts) == {
        "object-1/active.png", "object-1/error.png",
        *(f"object-1/step-{step}_{what}.png" for step in (1, 2, 3) for what in ("alpha", "fine")),
    }  # fmt: skip
    assert parts["object-1/step-1_alpha.png"].shape == (5, 8)
    assert not parts["object-1/step-1_fine.png"].any()
    assert result.active_shares == [pytest.approx(np.mean(parts["object-1/active.png"] > 0), abs=1e-6)]
    bench.save("mask", to_file(np.zeros((20, 30), dtype=np.uint8)))
    assert not bench.read(bench.matte(outputs=["active"])).any()
    with pytest.raises(ProblemError, match="no steps"):
        bench.matte(outputs=["steps"])


@pytest.mark.parametrize(
    ("wishes", "least", "most"),
    [({"error_threshold": 1.0}, 0.0, 0.0), ({"error_threshold": 0.0}, 1.0, 1.0),
     ({"error_threshold": 0.0, "active_budget": 5}, 0.0, 5 / 600)],
)  # fmt: skip
def test_attack_no_all_and_too_many_active_pixels(
    tmp_path: Path, tiny: Predictor, wishes: dict[str, Any], least: float, most: float
) -> None:
    bench = Bench(tmp_path, tiny)
    result = bench.matte(outputs=["alpha", "active"], **wishes)
    assert least <= result.active_shares[0] <= most
    assert np.mean(bench.parts(result)["object-1/active.png"] > 0) == pytest.approx(result.active_shares[0])
    assert tiny.options.error_threshold is None


STRANGE_MASKS = {
    "black": np.zeros((20, 30), dtype=np.uint8),
    "white": np.full((20, 30), 255, dtype=np.uint8),
    "zeros and ones": left_half() // 255,
    "one pixel": np.full((1, 1), 255, dtype=np.uint8),
    "16 bits": left_half().astype(np.uint16) * 257,
    "colours": np.repeat(left_half()[..., None], 3, axis=2),
    "cut-out": np.dstack([photo(), left_half()]),
}


@pytest.mark.parametrize("name", list(STRANGE_MASKS))
def test_attack_masks_of_every_kind(tmp_path: Path, tiny: Predictor, name: str) -> None:
    bench = Bench(tmp_path, tiny)
    bench.save("mask", to_file(STRANGE_MASKS[name]))
    alpha = bench.read(bench.matte())
    assert alpha.shape == (20, 30)
    if name in ("black", "white"):
        assert np.array_equal(alpha, STRANGE_MASKS[name])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_attack_masks_that_are_not_finite(bench: Bench, value: float) -> None:
    mask = np.zeros((20, 30), dtype=np.float32)
    mask[3] = value
    bench.save("mask", to_file(mask, "TIFF"))
    try:
        result = bench.matte()
    except ProblemError as error:
        problem = error
    else:
        assert bench.read(result).shape == (20, 30)
        return
    assert problem.status_code == 422


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3)])
def test_attack_photographs_of_one_pixel_or_line(tmp_path: Path, tiny: Predictor, size: tuple[int, int]) -> None:
    bench = Bench(tmp_path, tiny)
    bench.save("photo", to_file(photo(*size)))
    bench.save("mask", to_file(left_half(*size)))
    wishes = {"outputs": ["alpha", "cutout", "active", "steps"], "targets": [Target(mask=0)]}
    assert bench.parts(bench.matte(**wishes))["object-1/alpha.png"].shape == size[::-1]


@pytest.mark.filterwarnings("ignore:CMYK without a colour profile")
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_attack_photographs_of_every_mode(bench: Bench, mode: str) -> None:
    picture = Image.fromarray(left_half()) if mode == "I;16" else Image.fromarray(photo())
    buffer = io.BytesIO()
    picture.convert(mode).save(buffer, "TIFF" if mode == "CMYK" else "PNG")
    bench.save("photo", buffer.getvalue())
    assert bench.read(bench.matte(outputs=["cutout"])).shape[:2] == (20, 30)


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header announces more than its few bytes hold."""
    data = bytearray(to_file(np.zeros((1, 1), dtype=np.uint8)))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize("size", [(50_000, 50_000), (2**31 - 1, 1), (1_000_001, 1), (2_000, 501)])
@pytest.mark.parametrize("role", ["photo", "mask", "background"])
def test_attack_a_header_that_announces_too_many_pixels(bench: Bench, size: tuple[int, int], role: str) -> None:
    bench.save(role, bomb(*size))
    wishes = {"background_photo": bench.folder / "background"} if role == "background" else {}
    with pytest.raises(ProblemError) as problem:
        bench.matte(outputs=["composite"], **wishes)
    assert (problem.value.status_code, problem.value.kind) == (422, "picture-refused")
    assert str(bench.folder) not in problem.value.detail


def test_attack_a_side_that_is_too_long(bench: Bench) -> None:
    bench.save("photo", to_file(np.zeros((1, 20_001, 3), dtype=np.uint8)))
    with pytest.raises(ProblemError, match="side"):
        bench.matte()


def test_attack_an_animation_of_many_frames(bench: Bench) -> None:
    frames = [Image.fromarray(photo() // np.uint8(frame + 1)) for frame in range(50)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    bench.save("photo", buffer.getvalue())
    result = bench.matte(outputs=["foreground"])
    assert any("first is used" in warning for warning in result.warnings)
    assert bench.read(result).shape == (20, 30, 3)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\0" * 100, b"GIF89a" + b"\0" * 100, b"8BPS\0\1" + b"\0" * 100, b"%PDF-1.7 (x)", b"%!PS-Adobe-3.0 EPSF",
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://evil.example/x.png"/></svg>',
        b"SIMPLE  =                    T", b"http://evil.example/x.png", b"/etc/passwd", b"\x80\x04cos\nsystem\n",
        b"PK\3\4" + b"\0" * 100,
    ],
    ids=lambda data: data[:12].decode("latin-1"),
)  # fmt: skip
def test_attack_formats_that_are_not_accepted(bench: Bench, data: bytes) -> None:
    bench.save("photo", data)
    with pytest.raises(ProblemError) as problem:
        bench.matte()
    assert problem.value.kind == "picture-refused"
    assert "photo" in problem.value.detail.lower()


def test_running_out_of_memory_is_told_and_makes_room(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.do(EncodeJob(photo=bench.folder / "photo", key="cat"))
    assert bench.runner.cache.currsize > 0

    def fail(*arguments: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(bench.fake, "predict", fail)
    with pytest.raises(ProblemError) as problem:
        bench.matte(key="cat")
    assert problem.value.kind == "too-much-memory"
    assert bench.runner.cache.currsize == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_attack_damaged_files_of_every_format(bench: Bench, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "BMP"]))
    file = bytearray(to_file(photo(), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    del file[data.draw(st.integers(len(file) // 2, len(file))) :]
    role = data.draw(st.sampled_from(["photo", "mask"]))
    bench.save("photo", to_file(photo()))
    bench.save("mask", to_file(left_half()))
    bench.save(role, bytes(file))
    try:
        result = bench.matte(outputs=["composite"])
    except ProblemError as error:
        problem = error
    else:
        assert read_image(bench.folder / result.file_name).pixels.size > 0
        return
    assert problem.status_code == 422
    assert str(bench.folder) not in problem.detail


def test_the_cache_keeps_within_its_bytes() -> None:
    def make_matte(num_bytes: int) -> Matte:
        values = np.zeros((1, num_bytes // 8), dtype=np.float32)  # of alpha and of the error
        return Matte(alpha=values, image=values, coarse_error=values, spanned=(1, 1))

    cache = EncodingCache(100)
    first = make_matte(40)
    cache.put(("a", 1), first)
    cache.put(("b", 1), make_matte(40))
    assert cache.get(("a", 1)) is first
    cache.put(("c", 1), make_matte(40))
    assert cache.get(("b", 1)) is None
    assert cache.currsize == 80
    cache.put(("d", 1), make_matte(104))
    assert cache.get(("d", 1)) is None
    cache.put(("a", 1), make_matte(16))
    assert cache.currsize == 56
    cache.forget("a")
    assert cache.get(("a", 1)) is None
    cache.clear()
    assert cache.currsize == 0
