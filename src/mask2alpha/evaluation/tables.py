"""Reports of tables and sentences, rendered as text, Markdown, JSON or HTML."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from mask2alpha.extras import import_extra

Style: TypeAlias = Literal["text", "markdown", "json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Text in rows and columns."""

    header: Sequence[str]
    """The columns' names."""
    rows: Sequence[Sequence[str]]
    """The first cell names the row."""
    title: str = ""
    """One line; may be empty."""
    note: str = ""
    """How to read it; may be empty."""
    best: Collection[tuple[int, int]] = ()
    """(row, column) of cells to stress."""
    text_columns: Sequence[int] = (0,)
    """Columns of words, which are aligned to the left; the others hold numbers."""

    def render(self, style: Literal["text", "markdown"]) -> str:
        """The rows as text with aligned columns, or as a Markdown table."""
        return self._to_text() if style == "text" else self._to_markdown()

    def _to_text(self) -> str:
        rows = (self.header, *self.rows)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        aligned = [str.ljust if column in self.text_columns else str.rjust for column in range(len(widths))]
        return "\n".join(
            "  ".join(align(cell, width) for align, cell, width in zip(aligned, row, widths, strict=True))
            for row in rows
        )

    def _to_markdown(self) -> str:
        rule = ["---" if column in self.text_columns else "---:" for column in range(len(self.header))]
        rows = [
            [f"**{cell}**" if (i, j) in self.best else cell for j, cell in enumerate(row)]
            for i, row in enumerate(self.rows)
        ]
        escaped = ([cell.replace("|", "\\|") for cell in row] for row in (self.header, rule, *rows))
        return "\n".join("| " + " | ".join(row) + " |" for row in escaped)


def render_report(blocks: Sequence[Table | str], data: dict[str, Any], style: Style) -> str:
    """A report in one of the three forms, without a final newline.

    Args:
        blocks: Tables and paragraphs for people, separated by empty lines.
        data: The same numbers, unrounded, for the form `json`.
        style: The form.
    """
    if style == "json":
        return json.dumps(data, indent=2, ensure_ascii=False)
    return "\n\n".join(block if isinstance(block, str) else block.render(style) for block in blocks)


def load_template(name: str) -> Any:
    """A Jinja template of this package, by its name without `.j2`; values are escaped.

    Raises:
        InputError: Jinja is not installed.
    """
    jinja2 = import_extra("jinja2", extra="report", purpose="an HTML report")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mask2alpha.evaluation", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(f"{name}.j2")
