"""`mask2alpha compare`: several methods on the same pairs, as tables, plots and pictures."""

from pathlib import Path

import click

from mask2alpha.cli.benchmark_options import BenchmarkChoice, benchmark_options
from mask2alpha.cli.progress_option import progress_option

FIGURES = ("error_against_time", "error_per_kind", "time_against_size", "memory_against_size")
REPORT_FILES = (
    "comparison.md", "comparison.json", "comparison.html", *(f"figures/{name}.svg" for name in FIGURES),
)  # fmt: skip


def parse_sizes(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, ...]:
    """The numbers in "0.25,1,4"."""
    try:
        sizes = tuple(float(part) for part in value.split(",") if part.strip())
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: expected megapixels with commas between, as 0.25,1,4") from error
    if any(not 0 < size <= 100 for size in sizes):
        raise click.BadParameter(f"{value!r}: sizes are above 0 and at most 100 megapixels")
    return sizes


@click.command()
@benchmark_options
@click.option(
    "-m",
    "--method",
    "methods",
    multiple=True,
    required=True,
    metavar="METHOD",
    help="Method to compare, as listed above; repeatable. The report shows differences to the first.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the report and the results of each method. A stopped run continues from it.",
)
@click.option("--title", default=None, help="Title of the report.  [default: the folder's name]")
@click.option(
    "--cost-sizes",
    default="",
    show_default=False,
    callback=parse_sizes,
    metavar="MP,...",
    help="Also measure time and memory on the first pair, resized to these sizes in megapixels.",
)
@click.option(
    "--sheet-rows",
    type=click.IntRange(min=0),
    default=12,
    help="Largest number of rows with photos and mattes in the HTML report; each takes 0.1 to 0.2 MB.",
)
@click.option(
    "--redo",
    multiple=True,
    metavar="LABEL",
    help="Measure this method again, for example after a change of its code; repeatable.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the bootstrap.")
@click.option(
    "--resamples",
    type=click.IntRange(min=100),
    default=10_000,
    help="Number of resamples of the bootstrap.",
)
@progress_option
def command(
    chosen: BenchmarkChoice,
    methods: tuple[str, ...],
    output: Path,
    title: str | None,
    cost_sizes: tuple[float, ...],
    sheet_rows: int,
    redo: tuple[str, ...],
    seed: int,
    resamples: int,
) -> None:
    """Compare methods on the photos, true alphas and guidance masks in the folder ROOT.

    BENCHMARK is a name as for `mask2alpha eval`. Without it, ROOT holds image/NAME.png, alpha/NAME.png and
    mask/KIND/NAME.png. The command writes comparison.html (the whole report), comparison.md, comparison.json,
    figures/*.svg and methods/, which has the results of each pair. It does not run finished methods again.

    \b
    METHOD is one of
      MODEL[:steps=N,error_threshold=X,active_budget=N,no-detail,dtype=T,device=D]
          shipped name, .safetensors file or folder, or hub id
      mask                                 the mask itself
      feather[:sigma=3]                    the mask blurred
      guided-filter[:radius=60,eps=1e-6]   He et al.
      closed-form, knn, lbdm, random-walk  pymatting, with a trimap made from the
          [:width=15]                      mask by erosion and dilation
      predictions:FOLDER                   mattes KIND/NAME.png made elsewhere
      onnx:FILE[,size=N,mean=X,std=X,guide=mask|trimap,width=15,
          activation=sigmoid,within=N]     any matting or segmentation network

    Every method also takes label=NAME. The report needs the extra `report`, pymatting and ONNX Runtime the extra
    `peers`: pip install 'mask2alpha[report,peers]'.
    """  # noqa: D301
    import json

    from mask2alpha.evaluation.compare import compare, list_inputs
    from mask2alpha.evaluation.html_report import format_html
    from mask2alpha.evaluation.peers import parse_method
    from mask2alpha.evaluation.plots import draw_plots
    from mask2alpha.evaluation.runner import write_masks
    from mask2alpha.evaluation.summary import describe, format_markdown, summarise
    from mask2alpha.extras import import_extra
    from mask2alpha.imaging.encode import write_file
    from mask2alpha.imaging.targets import check_inputs_stay, names_a_file

    for package in ("jinja2", "matplotlib"):
        import_extra(package, extra="report", purpose="`mask2alpha compare`")
    names_a_file(output, ())
    opened = chosen.open()
    inputs = (*opened.files(), *list_inputs(map(parse_method, methods), ()))
    check_inputs_stay((output / name for name in REPORT_FILES), inputs)
    if opened.recipes:
        opened = write_masks(opened, output / "masks")
    comparison = compare(
        methods,
        opened,
        output,
        title=title or (opened.root.resolve().name if chosen.root is None else opened.title),
        cost_sizes=cost_sizes,
        redo=redo,
    )
    summary = summarise(comparison, num_resamples=resamples, seed=seed)
    markdown, plots = format_markdown(summary), draw_plots(summary)
    data = {"conditions": describe(summary), **summary}
    texts = {
        "comparison.md": markdown,
        "comparison.json": json.dumps(data, indent=1, ensure_ascii=False) + "\n",
        "comparison.html": format_html(comparison, summary, plots=plots, sheet_rows=sheet_rows),
        **{f"figures/{plot.name}.svg": plot.svg for plot in plots},
    }
    for name, text in texts.items():
        write_file(output / name, text.encode())
    click.echo(markdown, nl=False)
    click.echo(f"Report: {output / 'comparison.html'}", err=True)
    failed = sum(len(method["failures"]) for method in summary["methods"])
    if failed:
        click.echo(f"{failed} results failed; the report lists them", err=True)
        raise SystemExit(1)
