"""A stand-in for what Fusion's scripting guide documents of compositions and tools, with a Saver that writes PNG files.

Only what the plug-in uses is here. A tool or an input that the plug-in names wrongly is an error, where Fusion hands
out None. What the guide leaves open is assumed: a Saver puts the frame's number, in four digits, before the suffix.
"""

# ruff: noqa: N802  names are Fusion's

from pathlib import Path

import numpy as np
from PIL import Image


class Tool:
    def __init__(self, comp, kind, name, make=None):
        self.comp, self.kind, self.make = comp, kind, make
        self.attributes = {"TOOLS_Name": name, "TOOLS_RegID": kind, "TOOLB_PassThrough": False}
        self.inputs = dict.fromkeys({"Saver": ["Input", "Clip", "OutputFormat"]}.get(kind, []))

    def GetAttrs(self):
        return dict(self.attributes)

    def SetAttrs(self, attributes):
        assert set(attributes) <= set(self.attributes)
        self.attributes |= attributes

    def SetInput(self, name, value):
        assert name in self.inputs
        self.inputs[name] = value

    def ConnectInput(self, name, target):
        assert isinstance(target, Tool)
        self.SetInput(name, target)
        return True

    def Delete(self):
        self.comp.tools.remove(self)


class Composition:
    def __init__(self):
        self.tools, self.selected, self.ActiveTool = [], [], None
        self.answer, self.shown, self.rendered, self.num_locks, self.fails = {}, [], [], 0, False

    def GetAttrs(self):
        return {"COMPN_RenderStart": 1001.0, "COMPN_RenderEnd": 1002.0}

    def GetToolList(self, selected, kind=None):
        found = [tool for tool in (self.selected if selected else self.tools) if kind in (None, tool.kind)]
        return {index + 1.0: tool for index, tool in enumerate(found)}

    def AskUser(self, title, fields):
        assert set(fields) == set(range(1, len(fields) + 1))
        assert all({1, 2, "Name"} <= set(field) for field in fields.values())
        assert all(field[2] in ("Text", "PathBrowse") for field in fields.values())
        self.shown.append(fields)
        defaults = {field[1]: field["Default"] for field in fields.values() if field.get("Default")}
        return None if self.answer is None else defaults | self.answer

    def MapPath(self, path):
        return path

    def Lock(self):
        self.num_locks += 1

    def Unlock(self):
        assert self.num_locks > 0
        self.num_locks -= 1

    def AddTool(self, kind):
        assert kind == "Saver"
        assert self.num_locks, "a dialog asks for the file"
        self.tools.append(Tool(self, kind, f"{kind}{len(self.tools)}"))
        return self.tools[-1]

    def Render(self, settings):
        assert set(settings) == {"Start", "End", "Wait"}
        assert settings["Wait"]
        assert not self.num_locks
        if self.fails == "loudly":
            raise RuntimeError("out of memory")
        if self.fails:
            return False
        for saver in self.tools:
            if saver.kind != "Saver" or saver.attributes["TOOLB_PassThrough"]:
                continue
            assert saver.inputs["OutputFormat"] == "PNGFormat"
            clip = Path(saver.inputs["Clip"])
            for frame in range(settings["Start"], settings["End"] + 1):
                values = np.rint(255 * saver.inputs["Input"].make(frame)).astype(np.uint8)
                Image.fromarray(values).save(clip.with_name(f"{clip.stem}{frame:04d}{clip.suffix}"))
                self.rendered.append((saver, frame))
        return True


class Fusion:
    def __init__(self, scripts):
        self.scripts = scripts

    def MapPath(self, path):
        assert path.startswith("Scripts:/Comp/")
        return str(self.scripts / path.removeprefix("Scripts:/Comp/"))
