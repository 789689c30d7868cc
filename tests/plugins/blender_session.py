"""Run inside Blender by test_blender.py: installs the add-on's zip, mattes with it, and writes down the outcome.

The variable MASK2ALPHA_SESSION holds {"zip", "url", "folder", "photo", "mask", "choice", "out"} as JSON; "photo" and
"mask" are {"path", "source"}, or {"painted": [left, bottom, right, top]} for a mask painted in Blender.
"""

import json
import os

import bpy


def open_image(wish, size):
    if "painted" in wish:
        left, bottom, right, top = wish["painted"]
        image = bpy.data.images.new("painted", *size)
        pixels = [0.0, 0.0, 0.0, 1.0] * (size[0] * size[1])
        for y in range(bottom, top):
            for x in range(left, right):
                pixels[4 * (y * size[0] + x) : 4 * (y * size[0] + x) + 3] = (1.0, 1.0, 1.0)
        image.pixels = pixels
        return image
    image = bpy.data.images.load(wish["path"])
    image.source = wish["source"]
    return image


def main():
    wish = json.loads(os.environ["MASK2ALPHA_SESSION"])
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.extensions.package_install_files(filepath=wish["zip"], repo="user_default", enable_on_install=True)
    name = next(name for name in bpy.context.preferences.addons if name.endswith(".mask2alpha"))
    bpy.context.preferences.addons[name].preferences.url = wish["url"]
    scene = bpy.context.scene
    settings = scene.mask2alpha
    settings.photo = open_image(wish["photo"], None)
    settings.mask = open_image(wish["mask"], tuple(settings.photo.size))
    settings.folder = wish["folder"]
    for name, value in wish["choice"].items():
        setattr(settings, name, value)
    outcome = {"error": None, "result": None}
    try:
        outcome["result"] = sorted(bpy.ops.mask2alpha.matte())
    except RuntimeError as error:  # how reports of the kind ERROR reach a script
        outcome["error"] = str(error)
    tree = getattr(scene, "compositing_node_group", None) or getattr(scene, "node_tree", None)
    outcome["nodes"] = [
        {
            "kind": node.bl_idname,
            "label": node.label,
            "file": bpy.path.abspath(node.image.filepath),
            "source": node.image.source,
            "size": list(node.image.size),
            "alpha_mode": node.image.alpha_mode,
            "duration": node.frame_duration,
            "offset": node.frame_offset,
        }
        for node in (tree.nodes if tree else ())
        if node.bl_idname == "CompositorNodeImage"
    ]
    outcome["panel"] = hasattr(bpy.types, "NODE_PT_mask2alpha")
    bpy.ops.preferences.addon_disable(module=name)
    outcome["is_gone_when_disabled"] = not hasattr(bpy.types.Scene, "mask2alpha")
    with open(wish["out"], "w", encoding="utf-8") as file:
        json.dump(outcome, file)


main()
