"""A stand-in for Nuke's Python module `nuke`: nodes, knobs and what Write renders, after the reference of its API.

Only what the plug-in uses is here. A node that the plug-in names wrongly, a knob that its class lacks, and a Write
whose input is missing are errors, as in Nuke.
"""

# ruff: noqa: N802  names are Nuke's

from pathlib import Path

import numpy as np

from mask2alpha.imaging.encode import write_image

KNOBS = {
    "Input": {"name", "number"},
    "Output": {"name"},
    "Colorspace": {"name", "colorspace_in", "colorspace_out"},
    "Expression": {"name", "expr0", "expr1", "expr2", "expr3"},
    "Write": {"name", "file", "channels", "file_type", "datatype", "raw"},
    "Read": {"name", "file", "raw", "first", "last", "origfirst", "origlast", "reload"},
    "Premult": {"name"},
    "Switch": {"name", "which"},
    "Group": {"name"},
    "Picture": {"name"},
}
messages, selection, opened, executed = [], [], [], []
cancel_after = None
settings = {"proxy": False}


class Knob:
    def __init__(self, name="", label="", value=""):
        self._name, self.label, self._value = name, label, value

    def value(self):
        return self._value

    evaluate = value

    def setValue(self, value):
        self._value = value

    def execute(self):
        executed.append(self._name)


class NumberKnob(Knob):
    def __init__(self, name, label=""):
        super().__init__(name, label, 0)


Tab_Knob = File_Knob = String_Knob = PyScript_Knob = Knob
Int_Knob = NumberKnob


class Node:
    def __init__(self, kind, inputs=(), **knobs):
        assert set(knobs) <= KNOBS[kind], knobs
        self.kind, self.inputs, self.parent = kind, list(inputs), opened[-1] if opened else None
        self.knobs = {name: Knob(name, value=knobs.get(name, "")) for name in KNOBS[kind]}
        if self.parent:
            self.parent.children.append(self)

    def __getitem__(self, name):
        if name not in self.knobs:
            raise NameError(f"knob {name} does not exist")
        return self.knobs[name]

    def name(self):
        return self["name"].value()

    def setName(self, name):
        self["name"].setValue(name)

    def input(self, index):
        return self.inputs[index] if index < len(self.inputs) else None

    def setInput(self, index, node):
        self.inputs += [None] * (index + 1 - len(self.inputs))
        self.inputs[index] = node

    def render(self, frame):
        """(H, W, 4), scene-linear."""
        if self.kind == "Input":
            source = self.parent.input(self["number"].value())
        else:
            source = self.input(self["which"].value() if self.kind == "Switch" else 0)
        if source is None:
            raise RuntimeError(f"{self.name()}: no input")
        values = source.render(frame)
        if self["name"].value() == "" and self.kind == "Colorspace" and self["colorspace_out"].value() == "sRGB":
            colours = values[..., :3]
            curve = np.where(colours > 0.0031308, 1.055 * colours ** (1 / 2.4) - 0.055, 12.92 * colours)
            return np.concatenate([curve, values[..., 3:]], axis=2)
        if self.kind == "Expression":
            assert [self[f"expr{index}"].value() for index in range(3)] == ["a"] * 3
            return values[..., [3, 3, 3, 3]]
        return values


class Group(Node):
    def __init__(self, **knobs):
        super().__init__("Group", **knobs)
        self.children = []

    def __enter__(self):
        opened.append(self)

    def __exit__(self, *_):
        opened.pop()

    def addKnob(self, knob):
        self.knobs[knob._name] = knob

    def node(self, name):
        return next((node for node in self.children if node.name() == name), None)


class Picture(Node):
    """A source of frames; in Nuke it may be anything upstream."""

    def __init__(self, make):
        super().__init__("Picture", name="picture")
        self.make = make

    def render(self, frame):
        return self.make(frame)


class nodes:  # noqa: N801  as Nuke calls it
    Group = Group


for _kind in KNOBS.keys() - {"Group", "Picture"}:
    setattr(nodes, _kind, staticmethod(lambda kind=_kind, **knobs: Node(kind, **knobs)))


class Root:
    def firstFrame(self):
        return 1001

    def lastFrame(self):
        return 1003

    def __getitem__(self, name):
        return Knob(name, value=settings[name])


class ProgressTask:
    def __init__(self, name):
        self.asked = 0

    def setMessage(self, text):
        pass

    def setProgress(self, number):
        assert isinstance(number, int)

    def isCancelled(self):
        self.asked += 1
        return cancel_after is not None and self.asked > cancel_after


class Menu:
    commands = {}  # noqa: RUF012  one menu

    def addCommand(self, name, command):
        self.commands[name] = command


def root():
    return Root()


def menu(name):
    assert name == "Nodes"
    return Menu()


def selectedNodes():
    return selection


def message(text):
    messages.append(text)


def execute(write, start, end):
    assert write.kind == "Write"
    assert start == end
    assert [write[name].value() for name in ("channels", "file_type", "raw")] == ["rgb", "png", True]
    assert write["datatype"].value() == "16 bit"
    values = np.rint(np.clip(write.render(start)[..., :3], 0, 1) * 65535)
    write_image(Path(write["file"].value()), values.astype(np.uint16))
