"""mask2alpha for Krita: a rough selection becomes a cut-out layer, or a transparency mask, with soft edges.

The work is done by a service (`mask2alpha serve`), because Krita's own Python has no place for PyTorch.
"""

import importlib
import tempfile
from pathlib import Path
from typing import Any

from krita import Document, Extension, InfoObject, Krita, Node, Selection

from . import service_client

RESULTS = {
    "new-layer": "New layer, colours free of the old background",
    "transparency-mask": "Transparency mask",
}
LABELS = {"result": "Make", "edges": "Edges", "url": "Service", "key": "API key"}
DEFAULTS = {"result": "new-layer", "edges": "", "url": service_client.DEFAULT_URL, "key": ""}


class Mask2Alpha(Extension):
    """The menu entry."""

    def setup(self) -> None:
        """Called by Krita once; there is nothing to prepare."""

    def createActions(self, window: Any) -> None:  # noqa: N802  the name that Krita calls
        """Add the entry to the menus of a window."""
        action = window.createAction("mask2alpha_matte", "Matte with mask2alpha…", "tools/scripts")
        action.triggered.connect(lambda: self.run(window))

    def run(self, window: Any) -> None:
        """Ask what to make, and matte the active layer."""
        document = Krita.instance().activeDocument()
        if document is None:
            return
        settings = ask(window.qwindow())
        if settings is None:
            return
        try:
            told = matte_layer(document, document.activeNode(), **settings)
        except (service_client.ServiceError, OSError) as error:
            told = [str(error)]
        if told:
            qt_widgets().QMessageBox.warning(window.qwindow(), "mask2alpha", "\n".join(told))


def qt_widgets() -> Any:
    """The module of the Qt that this Krita is built with: a second Qt in the same process would crash it."""
    is_qt6 = int(Krita.instance().version().split(".")[0]) >= 6
    return importlib.import_module("PyQt6.QtWidgets" if is_qt6 else "PyQt5.QtWidgets")


def ask(parent: Any) -> "dict[str, str] | None":
    """Show the dialog with the values of last time; None when the user cancels."""
    qt, krita = qt_widgets(), Krita.instance()
    dialog = qt.QDialog(parent)
    dialog.setWindowTitle("Matte with mask2alpha")
    form = qt.QFormLayout(dialog)
    kept = {name: krita.readSetting("mask2alpha", name, default) for name, default in DEFAULTS.items()}
    result = qt.QComboBox()
    result.addItems(list(RESULTS.values()))
    result.setCurrentIndex(list(RESULTS).index(kept["result"]) if kept["result"] in RESULTS else 0)
    lines = {name: qt.QLineEdit(kept[name]) for name in ("edges", "url", "key")}
    lines["edges"].setPlaceholderText("such as shift=-1.5,feather=2; lengths in pixels")
    lines["key"].setEchoMode(qt.QLineEdit.EchoMode.Password)
    for name, field in {"result": result, **lines}.items():
        form.addRow(LABELS[name], field)
    buttons = qt.QDialogButtonBox(qt.QDialogButtonBox.StandardButton.Ok | qt.QDialogButtonBox.StandardButton.Cancel)
    buttons.accepted.connect(dialog.accept)
    buttons.rejected.connect(dialog.reject)
    form.addRow(buttons)
    if not dialog.exec():
        return None
    chosen = {"result": list(RESULTS)[result.currentIndex()], **{name: line.text() for name, line in lines.items()}}
    for name, value in chosen.items():
        krita.writeSetting("mask2alpha", name, value)
    return chosen


def matte_layer(document: Document, layer: Node, *, result: str, edges: str, url: str, key: str) -> list[str]:
    """Matte one layer with the document's selection as the rough mask.

    Args:
        document: The layer's.
        layer: Stays as it is, but for its visibility or a transparency mask more.
        result: One of `RESULTS`.
        edges: Changes of the matte's edge.
        url: Where the service is.
        key: Its API key, if it wants one.

    Returns:
        What the service says of the pictures, to be shown to the user.

    Raises:
        ServiceError: Nothing is selected, a mask is active, or the service refuses or cannot be reached.
    """
    width, height = document.width(), document.height()
    selection = document.selection()
    selected = selection.pixelData(0, 0, width, height).data() if selection else b""
    if not any(selected):
        raise service_client.ServiceError("select the object roughly first")
    if layer is None or layer.type().endswith("mask"):
        raise service_client.ServiceError("choose the layer of the photo, not its mask")
    told: list[str] = []
    cutout = service_client.matte(
        photo_file(document, layer),
        service_client.grey_png(selected, width, height),
        "cutout",
        # a selection is brightness, never labels, even where all of it is half selected
        choice={"channel": "grey", "edges": edges},
        url=url,
        key=key,
        on_warning=told.append,
    )
    if result == "transparency-mask":
        mask = document.createTransparencyMask("mask2alpha")
        shape = Selection()
        shape.setPixelData(pixels_of(cutout, "RGBA", "U8", "")[3::4], 0, 0, width, height)
        mask.setSelection(shape)
        layer.addChildNode(mask, None)
    else:
        colours = pixels_of(cutout, document.colorModel(), document.colorDepth(), document.colorProfile())
        copy = document.createNode(f"{layer.name()} (cut out)", "paintlayer")
        copy.setPixelData(colours, 0, 0, width, height)
        layer.parentNode().addChildNode(copy, layer)
        layer.setVisible(False)
    document.refreshProjection()
    return told


def photo_file(document: Document, layer: Node) -> bytes:
    """A PNG file of a layer's colours, without masks, opacity and transparency, with its depth and colour profile.

    Raises:
        OSError: Krita cannot write it.
    """
    width, height = document.width(), document.height()
    # a paint layer's own pixels, because its projection has its masks applied; other layers have the projection alone
    read = layer.pixelData if layer.type() == "paintlayer" else layer.projectionPixelData
    alone = Krita.instance().createDocument(
        width, height, "photo", layer.colorModel(), layer.colorDepth(), layer.colorProfile(), 300.0
    )
    try:
        alone.setBatchmode(True)
        copy = alone.createNode("photo", "paintlayer")
        copy.setPixelData(read(0, 0, width, height), 0, 0, width, height)
        alone.rootNode().addChildNode(copy, None)
        alone.refreshProjection()
        settings = InfoObject()
        settings.setProperties({"alpha": False, "saveSRGBProfile": False, "forceSRGB": False})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "photo.png")
            if not alone.exportImage(str(path), settings):
                raise OSError("Krita cannot write the layer to a PNG file")
            return path.read_bytes()
    finally:
        alone.close()


def pixels_of(png: bytes, model: str, depth: str, profile: str) -> bytes:
    """The pixels of a PNG file as Krita's, row by row, in a colour space that it names so.

    Raises:
        OSError: Krita cannot read it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cutout.png")
        path.write_bytes(png)
        opened = Krita.instance().openDocument(str(path))
        if opened is None:
            raise OSError("Krita cannot read the cut-out of the service")
        try:
            opened.setBatchmode(True)
            opened.setColorSpace(model, depth, profile or opened.colorProfile())
            opened.waitForDone()
            layer = opened.topLevelNodes()[0]
            values: bytes = layer.pixelData(0, 0, opened.width(), opened.height()).data()
            return values
        finally:
            opened.close()


Krita.instance().addExtension(Mask2Alpha(Krita.instance()))
