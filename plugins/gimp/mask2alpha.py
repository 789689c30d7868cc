#!/usr/bin/env python3
"""mask2alpha for GIMP 3: a rough selection becomes a layer mask, or a layer of its own, with soft edges.

The work is done by a service (`mask2alpha serve`), because GIMP's own Python has no place for PyTorch.
"""

import sys
import tempfile
import traceback
from pathlib import Path

import gi

gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Gegl, Gimp, Gio, GLib, GObject  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
import service_client  # noqa: E402

PROCEDURE = "plug-in-mask2alpha"


class Mask2Alpha(Gimp.PlugIn):
    """What GIMP asks a plug-in."""

    def do_query_procedures(self) -> list[str]:
        """The names of its procedures."""
        return [PROCEDURE]

    def do_set_i18n(self, _name: str) -> bool:
        """It has no translations."""
        return False

    def do_create_procedure(self, name: str) -> Gimp.Procedure:
        """The procedure, its place in the menus, and its arguments."""
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, run, None)
        procedure.set_image_types("RGB*, GRAY*")
        procedure.set_sensitivity_mask(Gimp.ProcedureSensitivityMask.DRAWABLE)
        procedure.set_menu_label("_Matte with mask2alpha…")
        procedure.add_menu_path("<Image>/Layer/Mask")
        procedure.set_documentation(
            "Turn a rough selection into a matte with soft edges",
            "Select the object roughly (or give its layer a rough mask). The result is a layer mask, or a new layer "
            "whose colours are free of the old background. Needs a running service: mask2alpha serve.",
            name,
        )
        procedure.set_attribution("mask2alpha", "Apache-2.0", "2026")
        results = Gimp.Choice.new()
        results.add("new-layer", 0, "New layer, colours free of the old background", "The old layer is hidden.")
        results.add("layer-mask", 1, "Layer mask", "The layer keeps its colours.")
        flags = GObject.ParamFlags.READWRITE
        procedure.add_choice_argument("result", "Ma_ke", "What to make of the matte", results, "new-layer", flags)
        procedure.add_string_argument(
            "edges", "_Edges", "Changes of the matte's edge, such as shift=-1.5,feather=2; lengths in pixels", "", flags
        )
        procedure.add_string_argument(
            "url", "Ser_vice", "Where mask2alpha serve runs", service_client.DEFAULT_URL, flags
        )
        procedure.add_string_argument("key", "_API key", "If the service wants one", "", flags)
        return procedure


def run(
    procedure: Gimp.Procedure,
    run_mode: Gimp.RunMode,
    image: Gimp.Image,
    drawables: list[Gimp.Drawable],
    config: Gimp.ProcedureConfig,
    _data: None,
) -> Gimp.ValueArray:
    """Called by GIMP: from the menu with a dialog first, or from a script."""
    if run_mode == Gimp.RunMode.INTERACTIVE and not ask(procedure, config):
        return procedure.new_return_values(Gimp.PDBStatusType.CANCEL, GLib.Error())
    if len(drawables) != 1 or not isinstance(drawables[0], Gimp.Layer):
        error = GLib.Error("mask2alpha works on one layer; select it in the layers dialogue")
        return procedure.new_return_values(Gimp.PDBStatusType.CALLING_ERROR, error)
    Gimp.progress_init("mask2alpha: matting")
    image.undo_group_start()
    try:
        matte_layer(image, drawables[0], **read_settings(config))
    except (service_client.ServiceError, OSError) as error:
        return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, GLib.Error(str(error)))
    except Exception as error:  # GIMP shows nothing of an exception that leaves this function
        traceback.print_exc()
        fault = GLib.Error(f"mask2alpha failed: {type(error).__name__}: {error}")
        return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, fault)
    finally:
        image.undo_group_end()
        Gimp.displays_flush()
    return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, GLib.Error())


def read_settings(config: Gimp.ProcedureConfig) -> dict[str, str]:
    """The arguments of `matte_layer`.

    GIMP keeps the arguments of plug-ins in a file from its first start on, and reads an empty default from it as None.
    """
    return {name: config.get_property(name) or "" for name in ("result", "edges", "url", "key")}


def ask(procedure: Gimp.Procedure, config: Gimp.ProcedureConfig) -> bool:
    """Show the dialog; False when the user cancels."""
    gi.require_version("GimpUi", "3.0")
    from gi.repository import GimpUi

    GimpUi.init(PROCEDURE)
    dialog = GimpUi.ProcedureDialog.new(procedure, config, None)
    dialog.fill(None)
    is_confirmed = dialog.run()
    dialog.destroy()
    return is_confirmed


def matte_layer(image: Gimp.Image, layer: Gimp.Layer, *, result: str, edges: str, url: str, key: str) -> None:
    """Matte one layer.

    Raises:
        ServiceError: Nothing is selected, or the service refuses or cannot be reached.
    """
    mask = rough_mask(image, layer)
    with tempfile.TemporaryDirectory() as folder:
        photo_path, cutout_path = Path(folder, "photo.png"), Path(folder, "cutout.png")
        export_photo(image, layer, photo_path)
        # a selection or layer mask is brightness, never labels, even where all of it is half selected
        choice = {"channel": "grey", "edges": edges}
        told: list[str] = []
        cutout_path.write_bytes(
            service_client.matte(
                photo_path.read_bytes(), mask, "cutout", choice=choice, url=url, key=key, on_warning=told.append
            )
        )
        for text in told:
            Gimp.message(f"mask2alpha: {text}")
        cutout = Gimp.file_load_layer(Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(str(cutout_path)))
    if result == "layer-mask":
        set_layer_mask(layer, cutout)
        cutout.delete()
    else:
        cutout.set_name(f"{layer.get_name()} (cut out)")
        image.insert_layer(cutout, layer.get_parent(), image.get_item_position(layer))
        _, x, y = layer.get_offsets()
        cutout.set_offsets(x, y)
        layer.set_visible(False)


def rough_mask(image: Gimp.Image, layer: Gimp.Layer) -> bytes:
    """The selection over the layer, or else the layer's own mask, as a grey PNG file.

    Raises:
        ServiceError: There is neither.
    """
    x, y = 0, 0
    if not Gimp.Selection.is_empty(image):
        channel = image.get_selection()
        _, x, y = layer.get_offsets()
    elif layer.get_mask():
        channel = layer.get_mask()
    else:
        raise service_client.ServiceError("select the object roughly first, or give the layer a rough mask")
    width, height = layer.get_width(), layer.get_height()
    values = channel.get_buffer().get(Gegl.Rectangle.new(x, y, width, height), 1.0, "Y u8", Gegl.AbyssPolicy.NONE)
    return service_client.grey_png(bytes(values), width, height)


def export_photo(image: Gimp.Image, layer: Gimp.Layer, path: Path) -> None:
    """Write a layer's colours, without its mask and transparency, with the image's depth and colour profile."""
    width, height = layer.get_width(), layer.get_height()
    alone = Gimp.Image.new_with_precision(width, height, image.get_base_type(), image.get_precision())
    try:
        alone.set_color_profile(image.get_effective_color_profile())
        copy = Gimp.Layer.new_from_drawable(layer, alone)
        alone.insert_layer(copy, None, 0)
        copy.set_offsets(0, 0)
        copy.set_visible(True)
        copy.set_opacity(100)
        if copy.get_mask():
            copy.remove_mask(Gimp.MaskApplyMode.DISCARD)
        copy.flatten()
        Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, alone, Gio.File.new_for_path(str(path)), None)
    finally:
        alone.delete()


def set_layer_mask(layer: Gimp.Layer, cutout: Gimp.Layer) -> None:
    """Make the cut-out's alpha the layer's mask, in place of the one it may have."""
    if layer.get_mask():
        layer.remove_mask(Gimp.MaskApplyMode.DISCARD)
    mask = layer.create_mask(Gimp.AddMaskType.WHITE)
    layer.add_mask(mask)
    width, height = layer.get_width(), layer.get_height()
    whole = Gegl.Rectangle.new(0, 0, width, height)
    alpha = cutout.get_buffer().get(whole, 1.0, "A float", Gegl.AbyssPolicy.NONE)
    target = mask.get_buffer()
    target.set(whole, "Y float", alpha)  # alpha and masks are both linear: the values stay as they are
    target.flush()
    mask.update(0, 0, width, height)


Gimp.main(Mask2Alpha.__gtype__, sys.argv)
