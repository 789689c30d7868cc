"""mask2alpha for Fusion Studio: cut-outs with soft edges, from a tool's picture and another tool's rough mask.

The work is done by a service (`mask2alpha serve`), because Fusion's own Python has no place for PyTorch. Fusion runs
this file with `fusion` and `comp` among its names.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, fusion.MapPath("Scripts:/Comp/mask2alpha"))
import service_client

KEY_VARIABLE = "MASK2ALPHA_KEY"
"""The environment variable with the service's API key."""


def main(comp: Any) -> None:
    """Ask what to make, matte the frames, and show what came of it."""
    try:
        photo, mask = chosen_tools(comp)
        settings = ask(comp)
        if settings is None:
            return
        told = matte_frames(comp, photo, mask, **settings)
    except (service_client.ServiceError, OSError) as error:
        told = [str(error)]
    text = {1: "told", 2: "Text", "Name": "", "ReadOnly": True, "Wrap": True, "Lines": 8, "Default": "\n".join(told)}
    comp.AskUser("mask2alpha", {1: text})


def chosen_tools(comp: Any) -> tuple[Any, Any]:
    """The tools of the photo and of the mask: of two selected tools, the mask's is the active one, selected last.

    Raises:
        ServiceError: Not two tools are selected.
    """
    selected, mask = list(comp.GetToolList(True).values()), comp.ActiveTool
    others = [tool for tool in selected if mask and name_of(tool) != name_of(mask)]
    if len(selected) != 2 or len(others) != 1:
        raise service_client.ServiceError("select the tool of the photo, then with Ctrl that of the rough mask")
    return others[0], mask


def ask(comp: Any) -> "dict[str, str] | None":
    """The settings of `matte_frames` from a dialog; None when the user cancels."""
    render = comp.GetAttrs()
    fields = {
        1: {1: "folder", 2: "PathBrowse", "Name": "Folder for the cut-outs", "Save": True},
        2: {1: "first", "Name": "First frame", "Default": f"{render['COMPN_RenderStart']:.0f}"},
        3: {1: "last", "Name": "Last frame", "Default": f"{render['COMPN_RenderEnd']:.0f}"},
        4: {1: "edges", "Name": "Edges, such as shift=-1.5,feather=2", "Default": ""},
        5: {1: "url", "Name": "Service", "Default": service_client.DEFAULT_URL},
    }
    answer = comp.AskUser("mask2alpha", {number: {2: "Text", "Lines": 1, **field} for number, field in fields.items()})
    # an empty field may be missing from the answer
    return None if answer is None else {field[1]: answer.get(field[1]) or "" for field in fields.values()}


def matte_frames(
    comp: Any, photo: Any, mask: Any, *, folder: str, first: str, last: str, edges: str, url: str
) -> list[str]:
    """Matte the frames from `first` to `last`; each becomes a PNG file in the folder.

    Returns:
        Where the cut-outs are, and what the service says of the frames.

    Raises:
        ServiceError: A setting is missing or wrong, Fusion renders no pictures, or the service refuses or cannot be
            reached.
        OSError: A cut-out cannot be written.
    """
    if not (first.strip().isdecimal() and last.strip().isdecimal()) or int(first) > int(last):
        raise service_client.ServiceError(f"frames {first!r} to {last!r}: give two numbers, the lower one first")
    if not folder:
        raise service_client.ServiceError("choose a folder for the cut-outs")
    frames = range(int(first), int(last) + 1)
    target = Path(comp.MapPath(folder))
    targets = {frame: target / f"{name_of(photo)}_cutout.{frame:04d}.png" for frame in frames}
    for path in targets.values():
        if path.exists():
            raise service_client.ServiceError(f"{path} exists; choose another folder")
    told = [f"The cut-outs are in {target}"]
    with tempfile.TemporaryDirectory() as rendered:
        places = [Path(rendered, "photo"), Path(rendered, "mask")]
        with savers(comp, dict(zip(places, (photo, mask), strict=True))):
            is_done = comp.Render({"Start": frames[0], "End": frames[-1], "Wait": True})
        photos, masks = (pictures(place, frames, is_done=bool(is_done)) for place in places)
        target.mkdir(parents=True, exist_ok=True)
        for frame in frames:
            cutout = service_client.matte(
                photos[frame].read_bytes(),
                masks[frame].read_bytes(),
                "cutout",
                choice={"channel": "alpha", "edges": edges},  # Fusion's masks are alpha
                url=url,
                key=os.environ.get(KEY_VARIABLE, ""),
                on_warning=lambda text, frame=frame: told.append(f"frame {frame}: {text}"),
            )
            unfinished = targets[frame].with_suffix(".part")
            unfinished.write_bytes(cutout)
            unfinished.replace(targets[frame])
    return told


@contextmanager
def savers(comp: Any, tools: "dict[Path, Any]") -> Iterator[None]:
    """Give each tool a Saver into its folder; while they exist, the composition's own ones pass their input through."""
    own = [each for each in comp.GetToolList(False, "Saver").values() if not each.GetAttrs()["TOOLB_PassThrough"]]
    made = []
    try:
        comp.Lock()  # or each new Saver asks for its file
        try:
            for tool in own:
                tool.SetAttrs({"TOOLB_PassThrough": True})
            for folder, tool in tools.items():
                folder.mkdir()
                made.append(comp.AddTool("Saver"))
                made[-1].SetInput("OutputFormat", "PNGFormat")
                made[-1].SetInput("Clip", str(folder / "frame_.png"))
                made[-1].ConnectInput("Input", tool)
        finally:
            comp.Unlock()
        yield
    finally:
        comp.Lock()
        for saver in made:
            saver.Delete()
        for tool in own:
            tool.SetAttrs({"TOOLB_PassThrough": False})
        comp.Unlock()


def pictures(folder: Path, frames: range, *, is_done: bool) -> "dict[int, Path]":
    """Frame to the file that a Saver wrote of it, with the frame's number before the suffix.

    Raises:
        ServiceError: One is missing.
    """
    numbers = {int(re.findall(r"\d+", path.stem)[-1]): path for path in folder.glob("*[0-9].png")}
    missing = [frame for frame in frames if frame not in numbers]
    if missing or not is_done:
        raise service_client.ServiceError(
            f"Fusion did not render the {folder.name} of {len(missing)} of {len(frames)} frames; see its console"
        )
    return numbers


def name_of(tool: Any) -> str:
    """The name of a tool in its composition, without spaces."""
    name: str = tool.GetAttrs()["TOOLS_Name"]
    return name


main(comp)
