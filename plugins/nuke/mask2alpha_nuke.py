"""mask2alpha for Nuke: a node that turns a plate and a rough mask into a cut-out with soft edges.

The work is done by a service (`mask2alpha serve`), because Nuke's own Python has no place for PyTorch.
"""

import os
import tempfile
from pathlib import Path

import nuke
import service_client

KEY_VARIABLE = "MASK2ALPHA_KEY"
"""The environment variable with the service's API key; a knob would save the key in every script."""


def create() -> nuke.Group:
    """Add a node; of two selected nodes, the first is its photo and the second its mask."""
    chosen = nuke.selectedNodes()[::-1]  # Nuke has the last one first
    group = nuke.nodes.Group()
    group.setName("mask2alpha1")  # Nuke counts up where the name is taken
    with group:
        photo = nuke.nodes.Input(name="photo", number=0)
        mask = nuke.nodes.Input(name="mask", number=1)
        # values are converted here and written raw, so that the names in a colour configuration do not matter
        as_srgb = nuke.nodes.Colorspace(inputs=[photo], colorspace_out="sRGB")
        as_grey = nuke.nodes.Expression(inputs=[mask], expr0="a", expr1="a", expr2="a")
        for name, node in (("write_photo", as_srgb), ("write_mask", as_grey)):
            nuke.nodes.Write(name=name, inputs=[node], channels="rgb", file_type="png", datatype="16 bit", raw=True)
        read = nuke.nodes.Read(name="cutout", raw=True)
        linear = nuke.nodes.Colorspace(inputs=[read], colorspace_in="sRGB")
        cutout = nuke.nodes.Premult(inputs=[linear])
        nuke.nodes.Output(inputs=[nuke.nodes.Switch(name="made", inputs=[photo, cutout], which=0)])
    add_knobs(group)
    for index, node in enumerate(chosen[:2]):
        group.setInput(index, node)
    return group


def add_knobs(group: nuke.Group) -> None:
    """Give the node its settings and its button."""
    group.addKnob(nuke.Tab_Knob("mask2alpha"))
    for name, label, value in (
        ("first", "first frame", nuke.root().firstFrame()),
        ("last", "last frame", nuke.root().lastFrame()),
    ):
        group.addKnob(nuke.Int_Knob(name, label))
        group[name].setValue(int(value))
    group.addKnob(nuke.File_Knob("folder", "folder for the cut-outs"))
    group.addKnob(nuke.String_Knob("edges", "edges, such as shift=-1.5,feather=2"))
    group.addKnob(nuke.String_Knob("url", "service"))
    group["url"].setValue(service_client.DEFAULT_URL)
    command = "import mask2alpha_nuke; mask2alpha_nuke.matte(nuke.thisNode())"
    group.addKnob(nuke.PyScript_Knob("matte", "Matte", command))


def matte(group: nuke.Group) -> None:
    """Matte the frames and show what is wrong; the button does this."""
    try:
        told = matte_frames(group)
    except (service_client.ServiceError, OSError, RuntimeError) as error:  # Nuke's own errors are RuntimeErrors
        told = [str(error)]
    if told:
        nuke.message("mask2alpha: " + "\n".join(told))


def matte_frames(group: nuke.Group) -> list[str]:
    """Matte the frames from `first` to `last`, and let the node show the cut-outs.

    Returns:
        What the service says of the frames.

    Raises:
        ServiceError: A setting is missing or wrong, or the service refuses or cannot be reached.
        OSError: A cut-out cannot be written.
        RuntimeError: Nuke cannot render an input, or the user cancels its rendering.
    """
    frames = range(int(group["first"].value()), int(group["last"].value()) + 1)
    targets, read = check_settings(group, frames), group.node("cutout")
    told: list[str] = []
    task = nuke.ProgressTask("mask2alpha")
    for index, frame in enumerate(frames):
        if task.isCancelled():
            return [*told, f"cancelled before frame {frame}"]
        task.setMessage(f"frame {frame}")
        task.setProgress(100 * index // len(frames))
        cutout = service_client.matte(
            render(group.node("write_photo"), frame),
            render(group.node("write_mask"), frame),
            "cutout",
            choice={"channel": "grey", "edges": group["edges"].value()},
            url=group["url"].value(),
            key=os.environ.get(KEY_VARIABLE, ""),
            on_warning=lambda text, frame=frame: told.append(f"frame {frame}: {text}"),
        )
        unfinished = targets[frame].with_suffix(".part")
        unfinished.write_bytes(cutout)
        unfinished.replace(targets[frame])
    read["file"].setValue(cutouts(group))
    for name, frame in (("first", frames[0]), ("last", frames[-1]), ("origfirst", frames[0]), ("origlast", frames[-1])):
        read[name].setValue(frame)
    read["reload"].execute()
    group.node("made")["which"].setValue(1)
    return told


def check_settings(group: nuke.Group, frames: range) -> "dict[int, Path]":
    """Frame to the file of its cut-out; the folder is made.

    Raises:
        ServiceError: An input, the folder or frames are missing, proxy mode is on, or files of others are in the way.
    """
    if group.input(0) is None or group.input(1) is None:
        raise service_client.ServiceError("connect the photo and the rough mask (its alpha) first")
    if not frames:
        raise service_client.ServiceError("the last frame comes before the first one")
    if not group["folder"].evaluate():  # an expression in it can come to nothing
        raise service_client.ServiceError("choose a folder for the cut-outs")
    if nuke.root()["proxy"].value():
        raise service_client.ServiceError("turn the proxy mode off: mattes are made at full size")
    folder, pattern = os.path.split(cutouts(group))
    targets = {frame: Path(folder, pattern % frame) for frame in frames}
    existing = [path for path in targets.values() if path.exists()]
    if existing and group.node("cutout")["file"].value() != cutouts(group):
        raise service_client.ServiceError(f"{existing[0]} exists, and this node did not make it; choose another folder")
    Path(folder).mkdir(parents=True, exist_ok=True)
    return targets


def cutouts(group: nuke.Group) -> str:
    """The path of the cut-outs, with %04d for the frame."""
    return f"{Path(group['folder'].evaluate()).as_posix()}/{group.name()}_cutout.%04d.png"


def render(write: nuke.Node, frame: int) -> bytes:
    """A frame at one of the Write nodes, as a PNG file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "frame.png")
        write["file"].setValue(path.as_posix())
        nuke.execute(write, frame, frame)
        write["file"].setValue("")
        return path.read_bytes()
