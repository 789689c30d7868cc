"""A server for agents: tools to select, matte and composite over the Model Context Protocol (MCP).

Photos are named by paths within allowed folders, results are written there, and the answer has only a small picture.
The tools are functions of `Toolbox`; `make_server` hands them to the protocol's own Python SDK (extra `mcp`).
"""

import functools
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mask2alpha._version import __version__
from mask2alpha.errors import InputError, Mask2AlphaError
from mask2alpha.extras import import_extra
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.encode import write_image
from mask2alpha.imaging.fitted_masks import read_fitted_mask
from mask2alpha.imaging.photo import Photo
from mask2alpha.imaging.targets import check_inputs_stay
from mask2alpha.ops.masks import MaskChoice
from mask2alpha.ops.prompt import Box, Point
from mask2alpha.pipeline.matte import EncodedImage, Matte
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.rendering import OutputOptions, RenderedMatte, check_output, plain_colour

MAX_PIXELS = 50_000_000
"""Largest photo that a tool reads, in pixels."""
SHOWN_SIDE = 512
"""Longer side of the pictures in answers, in pixels."""
KINDS = ("alpha", "cutout", "composite", "foreground")
"""Outputs that agents can ask for."""
INSTRUCTIONS = """Cut objects out of photos. Paths are relative to the allowed folder, or absolute within it. Begin with
inspect_photo to see a photo, point at the target with select_object (or give matte_photo the points at once), and look
at the picture in each answer: refine by further points. Coordinates are pixels from the upper left corner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The folders in which the tools read and write."""

    roots: tuple[Path, ...]
    """Folders; relative paths begin at the first."""

    def existing(self, name: str) -> Path:
        """The file of a name, with all links followed.

        Raises:
            InputError: It does not exist, or lies outside of the folders.
        """
        path = self._within(name)
        if not path.is_file():
            raise InputError(f"{name}: no such file")
        return path

    def new(self, name: str, inputs: list[Path], *, may_overwrite: bool) -> Path:
        """The place for an output.

        Raises:
            InputError: It lies outside of the folders, its folder does not exist, it is an input, or it exists and
                must not be overwritten.
        """
        path = self._within(name)
        if not path.parent.is_dir():
            raise InputError(f"{name}: its folder does not exist")
        check_inputs_stay([path], inputs)
        if path.exists() and not may_overwrite:
            raise InputError(f"{name} exists; give another name, or overwrite=true")
        return path

    def _within(self, name: str) -> Path:
        try:
            path = (self.roots[0] / name).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # loops of links, null bytes
            raise InputError(f"{name[:200]!r} is not a path: {error}") from error
        if not any(path.is_relative_to(root.resolve()) for root in self.roots):
            raise InputError(f"{name} is outside of the allowed folders")
        return path


class Toolbox:
    """What agents can do; each method is a tool, and its docstring is what the agent reads about it."""

    def __init__(self, make_predictor: Callable[[], Predictor], workspace: Workspace) -> None:
        self._make_predictor = make_predictor
        self._workspace = workspace
        self._last: tuple[tuple[object, ...], Photo, EncodedImage] | None = None

    @functools.cached_property
    def _predictor(self) -> Predictor:
        return self._make_predictor()

    def inspect_photo(self, photo: str) -> tuple[dict[str, Any], bytes]:
        """Show a photo: its size in pixels, its depth, and a small picture of it."""
        read = read_image(self._workspace.existing(photo), max_pixels=MAX_PIXELS)
        height, width = read.size
        about = {"width": width, "height": height, "dtype": str(read.pixels.dtype), "shown_scale": _shown_scale(read)}
        return about, show(read.in_srgb().pixels)

    def select_object(
        self,
        photo: str,
        output: str,
        points: list[Point] | None = None,
        not_points: list[Point] | None = None,
        box: Box | None = None,
        scale: str = "object",
        overwrite: bool = False,
    ) -> tuple[dict[str, Any], bytes]:
        """Select what points or a box mean, and write it as a rough mask.

        Args:
            photo: The photo's file.
            output: The mask to write, a .png file.
            points: [x, y] on the target.
            not_points: [x, y] that are not on the target.
            box: [left, top, right, bottom] around the target.
            scale: How much a point means: "part", "object" or "group".
            overwrite: Whether an existing output is replaced.
        """
        path = self._workspace.existing(photo)
        target = self._workspace.new(output, [path], may_overwrite=overwrite)
        check_output(target, "alpha")
        read, encoded = self._encode(path)
        mask = self._select(encoded, points, not_points, box, scale)
        write_image(target, np.where(mask, np.uint8(255), np.uint8(0)))
        return {"output": str(target), "coverage": round(float(mask.mean()), 4)}, show(_marked(read, mask))

    def matte_photo(
        self,
        photo: str,
        output: str,
        mask: str | None = None,
        points: list[Point] | None = None,
        not_points: list[Point] | None = None,
        box: Box | None = None,
        kind: str = "cutout",
        background: str = "white",
        overwrite: bool = False,
    ) -> tuple[dict[str, Any], bytes]:
        """Cut the target out of a photo, with soft edges and clean colours.

        Args:
            photo: The photo's file.
            output: The file to write: .png, .webp, .tif; also .jpg for composites.
            mask: A rough mask's file; or give points or a box.
            points: [x, y] on the target.
            not_points: [x, y] that are not on the target.
            box: [left, top, right, bottom] around the target.
            kind: "cutout" (colours with alpha), "alpha", "composite" (over the background) or "foreground".
            background: Colour of composites, such as white or #20a040, or a picture's file.
            overwrite: Whether an existing output is replaced.
        """
        path = self._workspace.existing(photo)
        mask_path = None if mask is None else self._workspace.existing(mask)
        has_prompt = bool(points or box)
        if (mask_path is None) != has_prompt:
            raise InputError("give either a mask, or points or a box")
        behind, inputs = self._background(background)
        target = self._workspace.new(
            output, [path, *inputs, *([mask_path] if mask_path else [])], may_overwrite=overwrite
        )
        self._check_kind(target, kind)
        read, encoded = self._encode(path)
        if mask_path is None:
            matte = self._predictor.predict(encoded, self._select(encoded, points, not_points, box, "object"))
        else:
            given = read_fitted_mask(mask_path, encoded.size, orientation=read.orientation, max_pixels=MAX_PIXELS)
            matte = self._predictor.predict(encoded, given)
        return self._write(RenderedMatte(read, matte, options=OutputOptions(background=behind)), target, kind)

    def composite_photo(
        self,
        photo: str,
        alpha: str,
        output: str,
        kind: str = "composite",
        background: str = "white",
        overwrite: bool = False,
    ) -> tuple[dict[str, Any], bytes]:
        """Put what an existing alpha matte keeps of a photo over a background, or make another output of it.

        Args:
            photo: The photo's file.
            alpha: Its alpha matte, a grey picture of the same size.
            output: The file to write.
            kind: "composite", "cutout" or "foreground".
            background: A colour, such as white or #20a040, or a picture's file.
            overwrite: Whether an existing output is replaced.
        """
        path, alpha_path = self._workspace.existing(photo), self._workspace.existing(alpha)
        behind, inputs = self._background(background)
        target = self._workspace.new(output, [path, alpha_path, *inputs], may_overwrite=overwrite)
        self._check_kind(target, kind)
        read = read_image(path, max_pixels=MAX_PIXELS)
        grey = MaskChoice(channel="grey")  # it is an alpha already, whatever its values look like
        values = read_fitted_mask(
            alpha_path, read.size, orientation=read.orientation, choice=grey, max_pixels=MAX_PIXELS
        ).values
        top = 255 if values.dtype == np.uint8 else 1
        matte = Matte(
            alpha=np.asarray(values.astype(np.float32) / np.float32(top)),
            image=read.in_srgb().pixels,
            coarse_error=np.zeros((1, 1), np.float32),
            spanned=read.size,
        )
        return self._write(RenderedMatte(read, matte, options=OutputOptions(background=behind)), target, kind)

    def _encode(self, path: Path) -> tuple[Photo, EncodedImage]:
        """The photo and its encoding; the last one is kept, for further points."""
        stat = path.stat()
        key = (path, stat.st_mtime_ns, stat.st_size)
        if self._last is None or self._last[0] != key:
            read = read_image(path, max_pixels=MAX_PIXELS)
            self._last = (key, read, self._predictor.encode(read.in_srgb().pixels))
        return self._last[1], self._last[2]

    def _select(
        self,
        encoded: EncodedImage,
        points: list[Point] | None,
        not_points: list[Point] | None,
        box: Box | None,
        scale: str,
    ) -> NDArray[np.bool_]:
        if not points and not box:
            raise InputError("give points on the target, or a box around it")
        boxes = [] if box is None else [box]
        return self._predictor.select(
            encoded, points=points or (), not_points=not_points or (), boxes=boxes, scale=scale
        )

    def _background(self, text: str) -> tuple[Photo, list[Path]]:
        """A colour, or a picture's file within the folders; and the files that were read."""
        try:
            return plain_colour(text, "background"), []
        except InputError:
            path = self._workspace.existing(text)
            return read_image(path, max_pixels=MAX_PIXELS), [path]

    def _check_kind(self, target: Path, kind: str) -> None:
        if kind not in KINDS:
            raise InputError(f"kind is {kind!r}; accepted: {', '.join(KINDS)}")
        check_output(target, kind)

    def _write(self, rendered: RenderedMatte, target: Path, kind: str) -> tuple[dict[str, Any], bytes]:
        rendered.write(target, kind)
        alpha = rendered.matte.alpha
        about = {
            "output": str(target),
            "coverage": round(float(alpha.mean()), 4),
            "soft_share": round(float(((alpha > 0) & (alpha < 1)).mean()), 4),
        }
        return about, show(np.asarray(rendered.matte.composite((0.5, 0.5, 0.5))))


def make_server(toolbox: Toolbox) -> Any:
    """An MCP server with the tools of a toolbox; `run()` serves standard input and output.

    Raises:
        InputError: The extra `mcp` is not installed.
    """
    mcp = import_extra("mcp.server.mcpserver", extra="mcp", purpose="`mask2alpha mcp`")
    exceptions = import_extra("mcp.server.mcpserver.exceptions", extra="mcp", purpose="`mask2alpha mcp`")
    server = mcp.MCPServer("mask2alpha", instructions=INSTRUCTIONS, version=__version__)

    def as_tool(tool: Callable[..., tuple[dict[str, Any], bytes]]) -> Callable[..., Any]:
        @functools.wraps(tool)
        def answer(*args: Any, **kwargs: Any) -> list[Any]:
            with warnings.catch_warnings(record=True, action="always", category=UserWarning) as caught:
                try:
                    about, picture = tool(*args, **kwargs)
                except (Mask2AlphaError, OSError, MemoryError) as error:
                    raise exceptions.ToolError(" ".join(str(error).split()) or type(error).__name__) from error
            notes = list(dict.fromkeys(str(warning.message) for warning in caught))
            return [about | ({"warnings": notes} if notes else {}), mcp.Image(data=picture, format="jpeg")]

        answer.__annotations__ = {**tool.__annotations__, "return": list[Any]}
        return answer

    for tool in (toolbox.inspect_photo, toolbox.select_object, toolbox.matte_photo, toolbox.composite_photo):
        server.add_tool(as_tool(tool), structured_output=False)
    return server


def show(pixels: NDArray[Any]) -> bytes:
    """A small JPEG of a photo, (H, W, 3), uint8, uint16 or floats in [0, 1]."""
    if pixels.dtype.kind == "f":
        pixels = np.rint(pixels.clip(0, 1) * 255)
    elif pixels.dtype == np.uint16:
        pixels = pixels // 257
    picture = Image.fromarray(pixels.astype(np.uint8))
    picture.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return file.getvalue()


def _shown_scale(photo: Photo) -> float:
    """Pixels of the photo per pixel of the picture that `show` makes of it."""
    return float(max(1.0, round(max(photo.pixels.shape[:2]) / SHOWN_SIDE, 3)))


def _marked(photo: Photo, mask: NDArray[np.bool_]) -> NDArray[Any]:
    """The photo, darkened where it is not selected."""
    pixels = photo.in_srgb().pixels
    return np.where(mask[..., None], pixels, pixels // 4)
