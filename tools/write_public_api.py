"""Write `tests/repo/public_api.txt`: every name that docs/versioning.md promises to keep, with its arguments.

    make api

`tests/repo/test_public_api.py` fails where the code and the file differ. A changed line there is a changed promise: it
belongs in the changelog. Types are left out: they may be widened without harm, and Python's versions spell them apart.
"""

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import mask2alpha
from mask2alpha import checkpoints
from mask2alpha.cli.main import main as command_line
from mask2alpha.serving.app import create_app
from mask2alpha.serving.settings import ServiceSettings

OUT = Path(__file__).parents[1] / "tests" / "repo" / "public_api.txt"
PLAIN = (bool, int, float, str, type(None))


def describe() -> str:
    """The text of the file."""
    sections = {
        "Python: names of `mask2alpha`, positional arguments before *, defaults": python_names(),
        "Command line: arguments, options (required!, repeated...), choices, defaults": commands(),
        "HTTP: addresses, fields (required!), answers": addresses(),
        "Checkpoints": [f"format {checkpoints.FORMAT!r}", f"format_version {checkpoints.FORMAT_VERSION}"],
    }
    return "\n".join("\n".join([f"# {title}", *lines, ""]) for title, lines in sections.items())


def python_names() -> Iterator[str]:
    """Functions and classes with signatures; constants with their keys."""
    for name in sorted(mask2alpha.__all__):
        value = getattr(mask2alpha, name)
        if isinstance(value, type):
            yield from class_lines(name, value)
        elif isinstance(value, dict):
            yield f"{name}: {', '.join(sorted(value))}"
        else:
            yield name


def class_lines(name: str, cls: type) -> Iterator[str]:
    """A class, its bases among ours or Python's own, and what it offers beside what its foreign bases offer."""
    if issubclass(cls, Exception):
        yield f"{name}({', '.join(base.__name__ for base in cls.__bases__)})"
        return
    yield f"{name}{signature(cls)}"
    own = {member for base in cls.__mro__ if base.__module__.startswith("mask2alpha") for member in vars(base)}
    if dataclasses.is_dataclass(cls):
        own |= {field.name for field in dataclasses.fields(cls)}
    for member in sorted(own):
        if member.startswith("_"):
            continue
        value = inspect.getattr_static(cls, member, None)
        function = getattr(value, "__func__", value)
        kind = {staticmethod: " (static)", classmethod: " (class)"}.get(type(value), "")
        yield f"  .{member}{signature(function)}{kind}" if inspect.isfunction(function) else f"  .{member}"


def signature(function: Any) -> str:
    """Names, kinds and plain defaults of the arguments."""
    shown = []
    for parameter in inspect.signature(function).parameters.values():
        default = parameter.default
        if default is not parameter.empty:
            default = default if isinstance(default, (*PLAIN, tuple)) else _Dots()
        shown.append(parameter.replace(annotation=parameter.empty, default=default))
    return str(inspect.Signature(shown))


class _Dots:
    def __repr__(self) -> str:
        return "..."


def commands() -> Iterator[str]:
    """Every command with its parameters."""
    context = click.Context(command_line)
    for name in command_line.list_commands(context):
        yield name
        command = command_line.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            if getattr(parameter, "hidden", False):
                continue
            words = [*parameter.opts, *parameter.secondary_opts]
            text = " ".join(sorted(words)) if isinstance(parameter, click.Option) else parameter.human_readable_name
            text += "!" * parameter.required + "..." * (parameter.multiple or parameter.nargs == -1)
            if isinstance(parameter.type, click.Choice):
                text += f" [{'|'.join(map(str, parameter.type.choices))}]"
            if isinstance(parameter.default, PLAIN) and parameter.default not in (None, False):
                text += f" = {parameter.default}"
            yield f"  {text}"


def addresses() -> Iterator[str]:
    """Every address under /v1, and those that watch the service."""
    described = create_app(ServiceSettings()).openapi()
    schemas = described["components"]["schemas"]
    for path, methods in sorted(described["paths"].items()):
        for method, operation in sorted(methods.items()):
            yield f"{method.upper()} {path}"
            for parameter in operation.get("parameters", []):
                yield f"  {parameter['in']} {parameter['name']}{'!' * parameter['required']}"
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                schema = content["schema"]
                schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
                for field in sorted(schema["properties"]):
                    yield f"  {media_type} {field}{'!' * (field in schema.get('required', []))}"
            answers = sorted(operation["responses"].items())
            problems = [status for status, _ in answers if not status.startswith("2")]
            if problems:
                yield f"  problems {' '.join(problems)}"
            for status, answer in answers:
                if status in problems:
                    continue
                for media_type, content in sorted(answer.get("content", {"nothing": {}}).items()):
                    fields = schemas.get(content.get("schema", {}).get("$ref", "").rpartition("/")[2], {})
                    told = ": " + ", ".join(sorted(fields["properties"])) if "properties" in fields else ""
                    yield f"  {status} {media_type}{told}"


if __name__ == "__main__":
    OUT.write_text(describe(), encoding="utf-8")
