"""Run inside Krita by test_krita.py: makes a picture, mattes it with the plug-in, and writes down the outcome.

The variable MASK2ALPHA_SESSION holds {"url", "result", "rough", "depth", "colour", "out"} as JSON.
"""

import json
import os
import traceback

from krita import Krita, Selection

import mask2alpha

WIDTH, HEIGHT = 40, 30


def pixels(node):
    return list(node.pixelData(0, 0, WIDTH, HEIGHT).data())


def session(wish):
    document = Krita.instance().createDocument(WIDTH, HEIGHT, "picture", "RGBA", wish["depth"], "", 300.0)
    document.setBatchmode(True)
    layer = document.createNode("photo", "paintlayer")
    layer.setPixelData(bytes(wish["colour"]) * (WIDTH * HEIGHT), 0, 0, WIDTH, HEIGHT)
    document.rootNode().addChildNode(layer, None)
    box = Selection()
    box.select(10, 5, 20, 15, 255)
    mask = document.createTransparencyMask("half of it")
    half = Selection()
    half.select(0, 0, 20, HEIGHT, 255)
    mask.setSelection(half)
    layer.addChildNode(mask, None)
    if wish["rough"] != "none":
        document.setSelection(box)
    document.refreshProjection()
    outcome = {"error": None, "told": None}
    try:
        wishes = {name: wish[name] for name in ("url", "result")}
        chosen = mask if wish["rough"] == "mask chosen" else layer
        outcome["told"] = mask2alpha.matte_layer(document, chosen, edges="shift=-1", key="", **wishes)
    except mask2alpha.service_client.ServiceError as error:
        outcome["error"] = str(error)
    outcome["layers"] = [
        {
            "name": node.name(),
            "visible": node.visible(),
            "pixels": pixels(node),
            "masks": {
                child.name(): list(child.selection().pixelData(0, 0, WIDTH, HEIGHT).data())
                for child in node.childNodes()
            },
        }
        for node in document.topLevelNodes()
        if node.type() == "paintlayer" and node.name() != "Background"  # a selection is a node, too
    ]
    outcome["documents"] = len(Krita.instance().documents())
    return outcome


def main(*_):
    wish = json.loads(os.environ["MASK2ALPHA_SESSION"])
    try:
        outcome = session(wish)
    except Exception:
        outcome = {"crash": traceback.format_exc()}
    with open(wish["out"], "w", encoding="utf-8") as file:
        json.dump(outcome, file)
