"""The code blocks of a Markdown page, and how they are run: in their order, in one folder, with one set of names.

```bash and ```python are code; so is a block without a language one of whose lines begins with a command. A comment in
the line before a block says what is special about it: `<!-- not run: needs X -->`, or `<!-- slow: trains -->`.
"""

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mask2alpha.cli.main import main

FENCE = re.compile(r"^```([\w-]*)\s*$")
REMARK = re.compile(r"^<!-- (not run|slow): (.+) -->$")
COMMANDS = {"conda", "curl", "export", "git", "hf", "make", "mask2alpha", "npm", "pip", "pytest", "python", "torchrun"}
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
EXTRAS = re.compile(r"(?:mask2alpha|\.)\[([\w,]+)\]")
FOR_A_SHELL = re.compile(r"[|<>;&$*]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block of code."""

    language: str
    """bash or python."""
    code: str
    line: int
    """Of its first line of code, from 1."""
    is_run: bool
    is_slow: bool


def read_blocks(page: Path) -> list[Block]:
    """The blocks of code of a page, in their order; blocks in other languages are left out."""
    lines = page.read_text(encoding="utf-8").split("\n")
    blocks = []
    number = 0
    while number < len(lines):
        fence = FENCE.match(lines[number])
        if not fence:
            number += 1
            continue
        start = number + 1
        end = lines.index("```", start)
        language = fence.group(1) or ("bash" if _has_command(lines[start:end]) else "")
        if language in ("bash", "python"):
            remark = REMARK.match(lines[number - 1])
            kind = remark.group(1) if remark else ""
            code = "\n".join(lines[start:end]) + "\n"
            blocks.append(
                Block(language=language, code=code, line=start + 1, is_run=kind != "not run", is_slow=kind == "slow")
            )
        number = end + 1
    return blocks


def _has_command(lines: list[str]) -> bool:
    return any(line.split()[0] in COMMANDS for line in lines if line.split())


def run_block(block: Block, names: dict[str, Any], origin: str, *, is_apart: bool = False) -> None:
    """Run one block in the working folder.

    Args:
        block: What to run.
        names: Python's names so far; what the block defines is added.
        origin: The page, for messages.
        is_apart: Whether commands get a process of their own, as when they are typed.
    """
    if block.language == "python":
        exec(compile("\n" * (block.line - 1) + block.code, origin, "exec"), names)
        return
    for command in split_commands(block.code):
        run_command(command, is_apart=is_apart)


def split_commands(code: str) -> list[str]:
    """The commands of a shell block, each in one line."""
    joined = code.replace("\\\n", " ")
    return [line.strip() for line in joined.split("\n") if line.strip() and not line.strip().startswith("#")]


def run_command(command: str, *, is_apart: bool = False) -> None:
    """Run `mask2alpha` in this process, which saves loading PyTorch again, and everything else in a shell.

    What pip would install is not installed, but the extras it names must exist.

    Raises:
        AssertionError: The command failed; the message has what it wrote.
    """
    words = shlex.split(command, comments=True)
    if words[:2] == ["pip", "install"]:
        named = {extra for word in words for found in EXTRAS.findall(word) for extra in found.split(",")}
        known = re.findall(r"^(\w+) = \[", PYPROJECT.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert named <= set(known), f"{command}: no such extra"
        return
    if not is_apart and words[0] == "mask2alpha" and not any(FOR_A_SHELL.search(word) for word in words):
        code = 0
        try:
            main(words[1:], standalone_mode=False)
        except SystemExit as end:
            code = int(end.code or 0)
        assert code == 0, f"{command}: exit code {code}"
        return
    run_in_shell(command)


def run_in_shell(code: str) -> None:
    """Run lines in bash, with this Python's programs first on PATH."""
    path = f'export PATH="{Path(sys.executable).parent}:$PATH"\n'
    result = subprocess.run(["bash", "-ec", path + code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{code}: exit code {result.returncode}\n{result.stdout}{result.stderr}"
