import json
from dataclasses import replace

import pytest
import torch

from mask2alpha.evaluation.ablation_report import fit_times, format_ablation
from mask2alpha.evaluation.ablations import (
    Ablation,
    AblationRow,
    NamedModel,
    Table,
    Times,
    Variant,
    plan_table,
)
from mask2alpha.evaluation.metrics import MatteScores
from mask2alpha.evaluation.paper import PUBLISHED_ABLATIONS
from mask2alpha.evaluation.runner import Evaluation, PairScores
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha

SETTINGS = {
    "benchmark": "folder",
    "root": "somewhere",
    "num_pairs": 2,
    "kinds": ["eroded"],
    "device": "cpu",
    "threads": 1,
    "torch": torch.__version__,
    "dtype": "float32",
    "repeats": 3,
    "timed_masks": "eroded",
    "timed_sizes": [[400, 600]],
}


def make_evaluation(*sads: float) -> Evaluation:
    def scores(sad: float) -> MatteScores:
        return MatteScores(sad=sad, mse=sad / 1000, grad=2 * sad, conn=sad, mad=sad / 500)

    pairs = tuple(
        PairScores(name=f"p{index}", kind="eroded", scores=scores(sad), mask_scores=scores(50.0))
        for index, sad in enumerate(sads)
    )
    return Evaluation(predictor="p", benchmark="folder", kinds=("eroded",), pairs=pairs)


def make_ablation(table: Table, variants: list[Variant], *, has_times: bool = True) -> Ablation:
    """SAD 12 and 8 for the last row, one more on both pairs for each row above; loops of 5 + 10 ms a step."""
    rows = []
    for index, variant in enumerate(variants):
        above = len(variants) - 1 - index
        times = Times(loop=0.005 + 0.010 * variant.num_steps, whole=0.5) if has_times else None
        rows.append(AblationRow(variant=variant, evaluation=make_evaluation(12.0 + above, 8.0 - above), times=times))
    return Ablation(table=table, rows=tuple(rows), settings=SETTINGS)


@pytest.fixture(scope="module")
def named() -> NamedModel:
    return NamedModel(name="tiny.safetensors", weights="abc123", model=Mask2Alpha(PRESETS["tiny"]))


def cells(ablation: Ablation) -> list[list[str]]:
    lines = [line for line in format_ablation(ablation, "markdown").splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_table_4_sets_our_rows_beside_the_papers(named: NamedModel) -> None:
    table = cells(make_ablation(4, plan_table(4, [named], [1, 3, 5])))
    header, rule, mask, single, three, five = table
    assert header[1:7] == ["SAD", "MSE", "Grad", "Conn", "vs last", "better"]
    assert header[7:] == ["loop ms", "whole ms", "paper SAD", "paper vs last", "paper ms"]
    assert set("".join(rule)) == {"-", ":"}
    assert mask[:2] == ["the mask itself", "50.00"]
    assert single[:7] == ["1 (single pass)", "10.00", "0.0100", "20.00", "10.00", "+0.0 %", "1/2"]
    assert single[7:] == ["15.0", "500.0", "37.98", "+4.0 %", "-"]
    assert three[9:] == ["37.80", "+3.5 %", "30"]
    assert five[6:] == ["-", "55.0", "500.0", "-", "-", "-"]  # the reference; the paper has no 5 steps


def test_tables_3_and_5_show_the_papers_four_metrics(named: NamedModel) -> None:
    three = cells(make_ablation(3, plan_table(3, [named]), has_times=False))
    assert three[0][7:] == ["paper SAD", "paper MSE", "paper Grad", "paper Conn", "paper vs last"]
    assert three[3][7:] == ["45.90", "0.0178", "42.94", "47.82", "+27.3 %"]
    five = cells(make_ablation(5, plan_table(5, [named]), has_times=False))
    assert [row[0] for row in five[3:]] == ["no detail stage", "SHM", "SGSDR"]
    assert five[5][7:] == ["37.05", "19.98", "28.80", "53.47", "+0.0 %"]


def test_where_the_paper_has_no_rows_there_are_no_columns_of_it(named: NamedModel) -> None:
    ablation = make_ablation("algorithm", plan_table("algorithm", [named], [7]), has_times=False)
    table = cells(ablation)
    assert table[0][1:] == ["SAD", "MSE", "Grad", "Conn", "vs last", "better"]
    assert table[3][0] == "sticky update, 7 steps"
    for style in ("text", "markdown", "json"):
        assert "no ablation of its choices" in format_ablation(ablation, style)
    assert format_ablation(ablation).startswith("Algorithm 2: the choices within Algorithm 2\n")


@pytest.mark.parametrize("table", [3, 4, 5])
def test_every_form_says_that_switches_are_no_trainings_and_that_the_paper_is_published(
    table: Table, named: NamedModel
) -> None:
    plans = {3: plan_table(3, [named]), 4: plan_table(4, [named], [1, 3]), 5: plan_table(5, [named])}
    ablation = make_ablation(table, plans[table])
    for style in ("text", "markdown", "json"):
        report = format_ablation(ablation, style)
        assert "nothing was trained again" in report
        assert "tiny.safetensors (weights abc123)" in report
        assert "published numbers, not ours" in report
        assert PUBLISHED_ABLATIONS[table].conditions in report


def test_separate_trainings_are_named(named: NamedModel) -> None:
    config = PRESETS["tiny"]
    without = Mask2Alpha(replace(config, encoder=replace(config.encoder, has_guidance=False)))
    other = NamedModel(name="without.safetensors", weights="def456", model=without)
    report = format_ablation(make_ablation(3, plan_table(3, [named, other])))
    assert "separate trainings: without.safetensors (weights def456), tiny.safetensors (weights abc123)" in report
    assert "switches" not in report


def test_the_loops_line_is_that_of_its_times(named: NamedModel) -> None:
    ablation = make_ablation(4, plan_table(4, [named], [1, 3, 10]))
    line = fit_times(ablation)
    assert line is not None
    assert line == pytest.approx((0.010, 0.005))
    assert "10.0 ms a step and 5.0 ms beside" in format_ablation(ablation)
    assert "8.1 and 5.9 ms" in format_ablation(ablation)
    assert fit_times(make_ablation(4, plan_table(4, [named], [3]))) is None
    assert fit_times(make_ablation(5, plan_table(5, [named]))) is None


def test_json_holds_the_numbers(named: NamedModel) -> None:
    ablation = make_ablation(5, plan_table(5, [named]))
    report = json.loads(format_ablation(ablation, "json"))
    assert report["table"] == 5
    assert [row["is_switched"] for row in report["rows"]] == [True, True, False]
    assert report["rows"][2]["published"]["sad"] == 37.05
    assert report["rows"][0]["better_than_reference"] == {"metric": "sad", "num_better": 1, "num_pairs": 2}
    assert report["rows"][0]["scores_by_kind"]["eroded"]["sad"] == 10.0
    assert report["settings"] == SETTINGS
    assert report["published"]["is_published"]
