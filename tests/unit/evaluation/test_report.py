import json

import pytest

from mask2alpha.evaluation.metrics import MatteScores
from mask2alpha.evaluation.report import format_report
from mask2alpha.evaluation.runner import Evaluation, PairScores


def scores(sad: float) -> MatteScores:
    return MatteScores(sad=sad, mse=sad / 1000, grad=2 * sad, conn=sad / 2, mad=0.25)


def pair(name: str, kind: str, sad: float, mask_sad: float) -> PairScores:
    return PairScores(name=name, kind=kind, scores=scores(sad), mask_scores=scores(mask_sad))


@pytest.fixture
def evaluation() -> Evaluation:
    return Evaluation(
        predictor="tiny, 3 steps",
        benchmark="photographs",
        kinds=("exact", "holes"),
        pairs=(
            pair("a", "exact", 1.0, 2.0),
            pair("a", "holes", 3.0, 10.0),
            pair("b", "exact", 5.0, 6.0),
            pair("b", "holes", 115.0, 20.0),
        ),
    )


def test_text_columns_are_aligned(evaluation: Evaluation) -> None:
    lines = format_report(evaluation, "text").splitlines()
    assert lines[0] == "tiny, 3 steps"
    table = lines[2:6]
    assert [line.split()[0] for line in table] == ["mask", "exact", "holes", "mean"]
    assert len({len(line) for line in table}) == 1
    assert table[1].split() == ["exact", "2", "3.00", "0.0030", "6.00", "1.50", "4.00", "0.0040", "8.00", "2.00"]
    assert table[3].split()[:3] == ["mean", "4", "31.00"]


def test_every_table_says_by_which_protocol_and_how_often_the_mask_was_beaten(evaluation: Evaluation) -> None:
    for report in (format_report(evaluation, "text"), format_report(evaluation, "markdown")):
        assert "1 of 2 pairs, 50.0 %" in report
        assert "whole image, original resolution, float64" in report
        assert "Adobe convention" in report
        assert "4 pairs; masks of photographs" in report


def test_markdown_is_a_table(evaluation: Evaluation) -> None:
    table = format_report(evaluation, "markdown").splitlines()[2:7]
    assert {line.count("|") for line in table} == {11}
    assert table[1].startswith("| --- | ---: |")
    assert table[3].startswith("| holes | 2 | 59.00 | 0.0590 | 118.00 | 29.50 | 15.00 |")


def test_json_holds_every_number_unrounded(evaluation: Evaluation) -> None:
    report = json.loads(format_report(evaluation, "json"))
    assert report["predictor"] == "tiny, 3 steps"
    assert report["protocol"]["region"] == "whole image"
    assert report["num_pairs"] == 4
    assert report["mean"]["scores"]["sad"] == 31
    assert report["kinds"]["holes"]["mask_scores"]["conn"] == 7.5
    assert report["better_than_mask"] == {"metric": "sad", "left_out": "exact", "num_better": 1, "num_pairs": 2}
    assert report["pairs"][3] == {
        "name": "b",
        "kind": "holes",
        "scores": {"sad": 115.0, "mse": 0.115, "grad": 230.0, "conn": 57.5, "mad": 0.25},
        "mask_scores": {"sad": 20.0, "mse": 0.02, "grad": 40.0, "conn": 10.0, "mad": 0.25},
    }


def test_the_share_is_left_out_where_only_exact_masks_were_scored(evaluation: Evaluation) -> None:
    exact = Evaluation(predictor="", benchmark="photographs", kinds=("exact",), pairs=tuple(evaluation.select("exact")))
    assert "Better than" not in format_report(exact)
