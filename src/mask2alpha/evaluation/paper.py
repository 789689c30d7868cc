"""The numbers of the paper's tables; none of them is measured here.

They compare with one's own only under the same conditions, so each table says what is known of them and what is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """One row as printed; None: not given."""

    method: str
    """Its name: the method, or a variant (`with`, `without`; a number of steps or `none`; a selection)."""
    sad: float
    """In thousands."""
    mse: float | None = None
    """A mean."""
    grad: float | None = None
    """In an unknown convention."""
    conn: float | None = None
    """In an unknown convention."""
    seconds: float | None = None
    """Per photo and mask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """The paper's rows for one benchmark."""

    source: str
    """Which table."""
    known: str
    """What is known of the conditions."""
    unknown: str
    """What is not."""
    rows: tuple[PublishedRow, ...]
    """In the paper's order."""
    kind: str | None = None
    """The kind of masks that it is about; None: not stated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedAblation:
    """One of the paper's ablations, and what it says of its conditions."""

    caption: str
    """What is varied."""
    conditions: str
    """What is known of the conditions, and what is not."""
    rows: dict[str, PublishedRow]
    """By the row's name; the whole method comes last."""

    @property
    def reference(self) -> PublishedRow | None:
        """The row of the whole method; None where the paper has no rows."""
        return list(self.rows.values())[-1] if self.rows else None


_PAPER = "arXiv 2502.17093"
_FIRST_KNOWN = (
    "printed as SAD / MSE / Grad / Conn; P3M-ViTAE, GFM and AIM take no mask; MGM-in-the-wild is the authors' own "
    "re-implementation"
)
_FIRST_UNKNOWN = (
    "the guidance masks, the convention of Grad and Conn, the resolution (whole pictures, judging by the size of SAD); "
    "the same full model appears with SAD 35.61, 36.05, 36.53 and 37.05 in the paper's tables, so that differences "
    "below about 1.5 SAD prove nothing"
)


def _rows(text: str) -> tuple[PublishedRow, ...]:
    """Rows of a name, SAD, MSE, Grad, Conn, seconds; `-` and what is left out at the end are not given."""
    rows = []
    for line in text.strip().splitlines():
        method, *cells = line.split()
        names = ("mse", "grad", "conn", "seconds")
        others = {name: float(cell) for name, cell in zip(names, cells[1:], strict=False) if cell != "-"}
        rows.append(PublishedRow(method=method, sad=float(cells[0]), **others))
    return tuple(rows)


def _first_table(text: str) -> PublishedTable:
    return PublishedTable(source=f"Table 1, {_PAPER}", known=_FIRST_KNOWN, unknown=_FIRST_UNKNOWN, rows=_rows(text))


def _ablation(caption: str, conditions: str, text: str) -> PublishedAblation:
    return PublishedAblation(caption=caption, conditions=conditions, rows={row.method: row for row in _rows(text)})


PUBLISHED: Mapping[str, PublishedTable] = {
    "aim-500": _first_table("""
        P3M-ViTAE        111.22 .0595 44.16 54.02
        GFM               95.50 .0503 74.38 46.97
        AIM               48.73 .0187 47.96 34.75
        MGMatting         51.82 .0126 33.18 51.78
        MaGGIe            47.65 .0121 37.31 45.97
        MGM-in-the-wild   43.05 .0102 32.13 42.71
        Mask2Alpha        35.61 .0091 29.74 31.07
    """),
    "am-2k": _first_table("""
        P3M-ViTAE         40.34 .0205 38.71 20.55
        GFM               11.18 .0031 10.27  9.77
        AIM               28.13 .0102 26.89 19.25
        MGMatting         22.69 .0039 13.57 21.37
        MaGGIe            16.59 .0026 12.49 15.82
        MGM-in-the-wild   17.23 .0024 12.71 16.08
        Mask2Alpha        13.22 .0021 10.55 10.37
    """),
    "p3m-500-np": _first_table("""
        P3M-ViTAE          8.88 .0023   8.33 11.22
        GFM              110.80 .0606 106.28 33.97
        AIM               29.46 .0114  28.51 25.85
        MGMatting         15.35 .0025  14.67 14.53
        MaGGIe            11.39 .0017  13.52 10.86
        MGM-in-the-wild   13.77 .0021  15.27 13.08
        Mask2Alpha         9.84 .0015   8.03 12.07
    """),
    "m-him2k": PublishedTable(
        source=f"Table 2, {_PAPER}",
        known=(
            "natural subset, masks r50_c4_3x, printed as SAD / MSE / Grad / Conn; MGM is MGM-in-the-wild, "
            "re-implemented; the paper's own model was not trained on several people"
        ),
        unknown=(
            "the evaluator: SAD, Grad and Conn are 2 to 14 % above those of the same methods and masks in the "
            "supplement of MaGGIe, which made the masks; whether means are over persons or over pictures"
        ),
        rows=_rows("""
            MGM               28.68 .0034 15.07 26.19
            MaGGIe            20.01 .0021 12.53 17.49
            InstMatt          19.48 .0017 11.61 17.02
            Mask2Alpha        20.35 .0021 11.28 17.08
        """),
        kind="r50_c4_3x",
    ),
}
"""The paper's rows by the benchmark's name, as in `public_benchmarks.BENCHMARKS`."""

PUBLISHED_ABLATIONS: Mapping[int | str, PublishedAblation] = {
    3: _ablation(
        "MGFSM, the mask's guidance in the encoder's last block",
        "AIM-500; networks trained without and with; masks and resolution not stated",
        """
        without 45.90 .0178 42.94 47.82
        with    36.05 .0121 29.80 34.12
        """,
    ),
    4: _ablation(
        "the number of decoding steps",
        "AIM-500; masks, resolution and hardware not stated; no time is given for `none`",
        """
        none 37.98
        3    37.80 - - - .030
        6    36.83 - - - .054
        10   36.54 - - - .087
        20   36.53 - - - .167
        """,
    ),
    5: _ablation(
        "the detail stage",
        "AIM-500, probably; networks trained each in its way; an MSE scale other than in Tables 1 and 3",
        """
        none  45.87 26.68 64.70 76.02
        shm   40.40 24.38 42.94 77.82
        sgsdr 37.05 19.98 28.80 53.47
        """,
    ),
    "algorithm": _ablation(
        "the choices within Algorithm 2", "the paper has the algorithm and no ablation of its choices", ""
    ),
}
"""The paper's Tables 3, 4 and 5, and what it lacks: an ablation of the choices within Algorithm 2."""
