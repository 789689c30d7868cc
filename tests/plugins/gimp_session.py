"""Run inside GIMP by test_gimp.py: makes a picture, calls the plug-in as a script does, and writes down the outcome.

The variable MASK2ALPHA_SESSION holds {"url", "result", "rough", "edges", "out"} as JSON.
"""

import json
import os

from gi.repository import Gegl, Gimp

WIDTH, HEIGHT, LEFT, TOP = 40, 30, 5, 3  # of the layer, and where it lies in the image


def fill(drawable, colour):
    Gimp.context_set_foreground(Gegl.Color.new(colour))
    drawable.edit_fill(Gimp.FillType.FOREGROUND)


def main():
    wish = json.loads(os.environ["MASK2ALPHA_SESSION"])
    image = Gimp.Image.new(60, 50, Gimp.ImageBaseType.RGB)
    layer = Gimp.Layer.new(image, "photo", WIDTH, HEIGHT, Gimp.ImageType.RGBA_IMAGE, 100, Gimp.LayerMode.NORMAL)
    image.insert_layer(layer, None, 0)
    layer.set_offsets(LEFT, TOP)
    fill(layer, "#204060")
    if wish["rough"] == "selection":
        image.select_rectangle(Gimp.ChannelOps.REPLACE, LEFT + 10, TOP + 5, 20, 15)
    elif wish["rough"] == "mask":
        image.select_rectangle(Gimp.ChannelOps.REPLACE, LEFT + 10, TOP + 5, 20, 15)
        layer.add_mask(layer.create_mask(Gimp.AddMaskType.SELECTION))
        Gimp.Selection.none(image)
    procedure = Gimp.get_pdb().lookup_procedure("plug-in-mask2alpha")
    config = procedure.create_config()
    for name, value in (("run-mode", Gimp.RunMode.NONINTERACTIVE), ("image", image), ("url", wish["url"])):
        config.set_property(name, value)
    config.set_core_object_array("drawables", [layer])
    config.set_property("result", wish["result"])
    if wish["edges"] is not None:
        config.set_property("edges", wish["edges"])
    answer = procedure.run(config)
    # at once, because every later call replaces the last error
    error = str(answer.index(1)) if answer.length() > 1 else str(Gimp.get_pdb().get_last_error())
    layers = []
    for each in image.get_layers():
        buffer = (each.get_mask() or each).get_buffer()
        whole = Gegl.Rectangle.new(0, 0, each.get_width(), each.get_height())
        kind = "Y u8" if each.get_mask() else "R'G'B'A u8"
        layers.append(
            {
                "name": each.get_name(),
                "visible": each.get_visible(),
                "offsets": list(each.get_offsets())[1:],
                "size": [each.get_width(), each.get_height()],
                "is_mask": each.get_mask() is not None,
                "values": list(bytes(buffer.get(whole, 1.0, kind, Gegl.AbyssPolicy.NONE))),
            }
        )
    status = answer.index(0)
    outcome = {
        "menus": procedure.get_menu_paths(),
        "success": status == Gimp.PDBStatusType.SUCCESS,
        "error": error,
        "layers": layers,
    }
    with open(wish["out"], "w", encoding="utf-8") as file:
        json.dump(outcome, file)


main()
