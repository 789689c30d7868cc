"""The Gradio Space, with Gradio itself where it is installed."""

import importlib.util
import json
import urllib.request

import numpy as np
import pytest
import yaml
from PIL import Image


def test_the_head_of_the_page_names_the_app(plugins):
    head = yaml.safe_load((plugins / "space" / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert head["sdk"] == "gradio"
    assert (plugins / "space" / head["app_file"]).is_file()
    assert (plugins / "space" / "requirements.txt").read_text(encoding="utf-8") == "mask2alpha\n"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Gradio leaves sockets open
def test_clicks_cut_the_object_out(plugins):
    gradio = pytest.importorskip("gradio")
    spec = importlib.util.spec_from_file_location("space_app", plugins / "space" / "app.py")
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    photo = np.asarray(Image.open(plugins.parent / "examples/photos/astronaut.png").convert("RGB"))

    def click(x, y):
        return gradio.SelectData(None, {"index": [x, y], "value": None})

    clicks, cutout, alpha = app.add_click(photo, [], "the object", click(230, 150))
    assert cutout.shape == (*photo.shape[:2], 4)
    assert np.array_equal(cutout[..., 3], alpha)
    assert alpha[150, 230] == 255
    assert alpha[10, 500] == 0
    clicks, _, smaller = app.add_click(photo, clicks, "not the object", click(60, 400))
    assert clicks == [(230, 150, True), (60, 400, False)]
    assert smaller[400, 60] < 128
    with pytest.raises(gradio.Error, match="outside"):
        app.cut_out(photo, [(5000, 5, True)])
    _, address, _ = app.demo.launch(prevent_thread_lock=True, quiet=True)
    try:
        with urllib.request.urlopen(f"{address}config") as answer:
            kinds = [component["type"] for component in json.load(answer)["components"]]
    finally:
        app.demo.close()
    assert kinds.count("image") == 3
