"""mask2alpha for Blender's compositor: a photograph or image sequence and its rough mask become a cut-out image node.

The work is done by a service (`mask2alpha serve`); this add-on needs nothing but Blender's own Python.
"""

import re
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import bpy

from . import service_client

SEQUENCE_NAME = re.compile(r"(?P<prefix>.*?)(?P<number>\d+)(?P<suffix>\.\w+)")
Job = tuple[Callable[[], bytes], Callable[[], bytes], Path]
"""What returns a frame's photograph, what returns its mask, and the file to write."""


class Preferences(bpy.types.AddonPreferences):
    """Where the service is; the same for all scenes."""

    bl_idname = __package__

    url: bpy.props.StringProperty(name="Service", default=service_client.DEFAULT_URL)
    key: bpy.props.StringProperty(name="API key", subtype="PASSWORD", description="If the service wants one")

    def draw(self, _context: bpy.types.Context) -> None:
        """Show both."""
        self.layout.prop(self, "url")
        self.layout.prop(self, "key")


class Settings(bpy.types.PropertyGroup):
    """What to matte; kept with the scene."""

    photo: bpy.props.PointerProperty(name="Photo", type=bpy.types.Image, description="An image or an image sequence")
    mask: bpy.props.PointerProperty(
        name="Rough mask",
        type=bpy.types.Image,
        description="White on the target: an image, a sequence with the photo's frame numbers, or one painted here",
    )
    label: bpy.props.StringProperty(
        name="Label", description="The target in a mask of labels: a value, palette index or #rrggbb"
    )
    channel: bpy.props.StringProperty(
        name="Channel", description="The channel that is the mask: grey, alpha, red, green, blue, or one of an EXR file"
    )
    invert: bpy.props.BoolProperty(name="Invert", description="The mask marks what is not the target")
    edges: bpy.props.StringProperty(
        name="Edges", description="Changes of the matte's edge, such as shift=-1.5,feather=2; lengths in pixels"
    )
    folder: bpy.props.StringProperty(name="Folder", subtype="DIR_PATH", default="//mask2alpha/")

    @property
    def choice(self) -> dict[str, str]:
        """What the mask's values do not say, and how the edge is changed, as fields of the service."""
        texts = {name: getattr(self, name).strip() for name in ("label", "channel", "edges")}
        texts["invert"] = "true" * self.invert
        return {name: text for name, text in texts.items() if text}


class Matte(bpy.types.Operator):
    """The button, and `bpy.ops.mask2alpha.matte()`."""

    bl_idname = "mask2alpha.matte"
    bl_label = "Matte"
    bl_description = "Matte the photo with the rough mask, and add the cut-out to the compositor"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether both pictures are chosen."""
        return context.scene.mask2alpha.photo is not None and context.scene.mask2alpha.mask is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Do all frames at once, as scripts expect."""
        try:
            for _ in self._matte_frames(context):
                pass
        except (service_client.ServiceError, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Do a frame now and then, so that the window lives on and Escape works."""
        self._frames = self._matte_frames(context)
        self._timer = context.window_manager.event_timer_add(0.05, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Called for every event of the window until the frames are done."""
        if event.type == "ESC":
            return self._stop(context, {"CANCELLED"})
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        try:
            done, count = next(self._frames)
        except StopIteration:
            return self._stop(context, {"FINISHED"})
        except (service_client.ServiceError, OSError) as error:
            self.report({"ERROR"}, str(error))
            return self._stop(context, {"CANCELLED"})
        context.workspace.status_text_set(f"mask2alpha: {done} of {count} matted, Esc stops")
        return {"RUNNING_MODAL"}

    def _stop(self, context: bpy.types.Context, result: set[str]) -> set[str]:
        context.workspace.status_text_set(None)
        context.window_manager.event_timer_remove(self._timer)
        return result

    def _matte_frames(self, context: bpy.types.Context) -> Iterator[tuple[int, int]]:
        """Matte frame by frame, yielding how many of how many are done; then add the node.

        Raises:
            ServiceError: The pictures cannot be used, or the service refuses.
        """
        settings, preferences = context.scene.mask2alpha, context.preferences.addons[__package__].preferences
        url = preferences.url
        if not service_client.is_on_this_machine(url) and not bpy.app.online_access:
            raise service_client.ServiceError(f"{url} is another machine; allow online access in the preferences")
        folder = output_folder(settings.folder)
        jobs = plan(settings.photo, settings.mask, folder)
        check_inputs_stay([target for _, _, target in jobs], (settings.photo, settings.mask))
        told: dict[str, Path] = {}
        for index, (photo, mask, target) in enumerate(jobs):
            cutout = service_client.matte(
                photo(),
                mask(),
                "cutout",
                choice=settings.choice,
                url=url,
                key=preferences.key,
                on_warning=lambda text, target=target: told.setdefault(text, target),
            )
            part = target.with_suffix(".part")
            part.write_bytes(cutout)
            part.replace(target)
            yield index + 1, len(jobs)
        for text, target in told.items():  # the first of the frames that it was said of
            self.report({"WARNING"}, f"{target.name}: {text}")
        add_node(context.scene, settings.photo, [target for _, _, target in jobs])


class Panel(bpy.types.Panel):
    """In the compositor's sidebar."""

    bl_idname = "NODE_PT_mask2alpha"
    bl_label = "mask2alpha"
    bl_category = "mask2alpha"
    bl_space_type = "NODE_EDITOR"
    bl_region_type = "UI"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Only in the compositor."""
        return context.space_data.tree_type == "CompositorNodeTree"

    def draw(self, context: bpy.types.Context) -> None:
        """The settings and the button."""
        settings = context.scene.mask2alpha
        self.layout.template_ID(settings, "photo", open="image.open")
        self.layout.template_ID(settings, "mask", new="image.new", open="image.open")
        for name in ("label", "channel", "invert", "edges", "folder"):
            self.layout.prop(settings, name)
        self.layout.operator(Matte.bl_idname)


def output_folder(setting: str) -> Path:
    """The folder, made if need be.

    Raises:
        ServiceError: It is meant beside a .blend file that was never saved.
    """
    if setting.startswith("//") and not bpy.data.filepath:
        raise service_client.ServiceError("save the .blend file first, or choose a folder elsewhere")
    folder = Path(bpy.path.abspath(setting))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def plan(photo: bpy.types.Image, mask: bpy.types.Image, folder: Path) -> list[Job]:
    """What is to be done, frame by frame.

    Raises:
        ServiceError: The pictures are movies, or a frame has no mask.
    """
    if photo.source == "MOVIE" or mask.source == "MOVIE":
        raise service_client.ServiceError("movies cannot be read here; make an image sequence of it first")
    if photo.source != "SEQUENCE":
        name = f"{bpy.path.clean_name(Path(photo.name).stem)}_cutout.png"
        return [(lambda: picture(photo), lambda: picture(mask), folder / name)]
    photos = sequence_files(photo)
    masks = sequence_files(mask) if mask.source == "SEQUENCE" else {}
    missing = sorted(photos.keys() - masks.keys()) if masks else []
    if missing:
        raise service_client.ServiceError(f"{len(missing)} frames have no mask, the first is {missing[0]}")
    prefix = SEQUENCE_NAME.fullmatch(Path(photo.filepath).name)["prefix"]
    return [
        (
            path.read_bytes,
            masks[number].read_bytes if masks else lambda: picture(mask),
            folder / f"{prefix}cutout_{number:04d}.png",
        )
        for number, path in sorted(photos.items())
    ]


def check_inputs_stay(targets: Sequence[Path], images: Sequence[bpy.types.Image]) -> None:
    """Check that no cut-out would be written over a picture that it is made from.

    Raises:
        ServiceError: One would be.
    """
    files = [path for image in images if image.source == "SEQUENCE" for path in sequence_files(image).values()]
    files += [Path(bpy.path.abspath(image.filepath)) for image in images if image.filepath]
    inputs = {(found.st_dev, found.st_ino) for found in (path.stat() for path in files if path.is_file())}
    for target in targets:
        if target.exists() and (target.stat().st_dev, target.stat().st_ino) in inputs:
            raise service_client.ServiceError(f"{target} is an input and would be overwritten; choose another folder")


def sequence_files(image: bpy.types.Image) -> dict[int, Path]:
    """Frame number to file, of all files that are called like the image's but for the number.

    Raises:
        ServiceError: The name has no number.
    """
    first = Path(bpy.path.abspath(image.filepath))
    pattern = SEQUENCE_NAME.fullmatch(first.name)
    if not pattern:
        raise service_client.ServiceError(f"{first.name} has no frame number")
    found = ((SEQUENCE_NAME.fullmatch(path.name), path) for path in first.parent.iterdir())
    return {
        int(match["number"]): path
        for match, path in found
        if match and (match["prefix"], match["suffix"]) == (pattern["prefix"], pattern["suffix"])
    }


def picture(image: bpy.types.Image) -> bytes:
    """The bytes of a picture file: the image's own where it is unchanged on disk, else a PNG of its pixels.

    Raises:
        ServiceError: Its pixels are floats that exist nowhere but here.
    """
    path = Path(bpy.path.abspath(image.filepath)) if image.filepath else None
    if image.source == "FILE" and not image.is_dirty and not image.packed_file and path and path.is_file():
        return path.read_bytes()
    if image.is_float:
        raise service_client.ServiceError(f"{image.name} has float pixels and is not saved; save it to a file first")
    width, height = image.size
    copy = bpy.data.images.new(f"{image.name} for mask2alpha", width, height, alpha=True)
    try:
        pixels = array("f", bytes(4 * len(image.pixels)))
        image.pixels.foreach_get(pixels)
        copy.pixels.foreach_set(pixels)
        with tempfile.TemporaryDirectory() as folder:
            copy.filepath_raw = str(Path(folder, "picture.png"))
            copy.file_format = "PNG"
            copy.save()
            return Path(copy.filepath_raw).read_bytes()
    finally:
        bpy.data.images.remove(copy)


def add_node(scene: bpy.types.Scene, photo: bpy.types.Image, targets: Sequence[Path]) -> None:
    """Put the cut-out into the scene's compositor as an image node, timed as the photograph's own."""
    cutout = bpy.data.images.load(str(targets[0]), check_existing=True)
    cutout.reload()
    tree = compositor_tree(scene)
    node = tree.nodes.new("CompositorNodeImage")
    node.image = cutout
    node.label = f"{photo.name} (cut out)"
    model = next((each for each in tree.nodes if each != node and getattr(each, "image", None) == photo), None)
    if model:
        node.location = (model.location.x, model.location.y - 350)
    if len(targets) > 1:
        cutout.source = "SEQUENCE"
        node.frame_duration = len(targets)
        node.frame_start = model.frame_start if model else scene.frame_start
        # a node shows file 1 + offset in its first frame
        first = int(SEQUENCE_NAME.fullmatch(targets[0].name)["number"])
        node.frame_offset = model.frame_offset if model else first - 1


def compositor_tree(scene: bpy.types.Scene) -> bpy.types.NodeTree:
    """The scene's compositing nodes, made if there are none (Blender 5 keeps them elsewhere than 4)."""
    if hasattr(scene, "compositing_node_group"):
        if scene.compositing_node_group is None:
            scene.compositing_node_group = bpy.data.node_groups.new("Compositing", "CompositorNodeTree")
        return scene.compositing_node_group
    scene.use_nodes = True
    return scene.node_tree


CLASSES = (Preferences, Settings, Matte, Panel)


def register() -> None:
    """Called when the add-on is switched on."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.mask2alpha = bpy.props.PointerProperty(type=Settings)


def unregister() -> None:
    """Called when the add-on is switched off."""
    del bpy.types.Scene.mask2alpha
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
