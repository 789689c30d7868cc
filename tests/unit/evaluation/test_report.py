import json
from dataclasses import replace
from typing import Literal

import pytest

from mask2alpha.evaluation.instances import InstanceCounts, Quality
from mask2alpha.evaluation.metrics import MatteScores
from mask2alpha.evaluation.paper import PUBLISHED
from mask2alpha.evaluation.report import format_report
from mask2alpha.evaluation.results import Evaluation, InstanceScores, PairScores


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


def test_sad_per_megapixel_and_pairs_worse_than_their_masks_are_told(evaluation: Evaluation) -> None:
    spoiled = pair("c", "exact", 7.0, 6.0)
    more = replace(evaluation, pairs=(*evaluation.pairs, spoiled, pair("d", "exact", 6.8, 6.0)))
    report = format_report(more, "text")
    rows = {line.split()[0]: line.split()[1:] for line in report.splitlines()[7:11]}
    assert rows["exact"] == ["250.000", "250.000", "2/4", "50.0", "%"]
    assert rows["holes"] == ["250.000", "250.000", "1/2", "50.0", "%"]
    assert rows["mean"] == ["250.000", "250.000", "1/2", "50.0", "%"]
    assert "SAD more than 1.15 times that of the mask: 1 of 4 `exact` pairs" in report
    data = json.loads(format_report(more, "json"))
    assert data["mean"]["sad_per_megapixel"] == 250.0
    assert data["kinds"]["exact"]["worse_than_mask"] == {"num_worse": 2, "num_pairs": 4, "share": 0.5}
    assert data["worse_than_mask"] == {"num_worse": 1, "num_pairs": 2, "share": 0.5}
    assert data["exact_pairs"] == {"tolerance": 1.15, "num_above": 1, "num_pairs": 4}


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


@pytest.mark.parametrize("style", ["text", "markdown"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_rows_stand_beside_ours_and_say_that_they_are_published(
    evaluation: Evaluation, name: str, style: Literal["text", "markdown"]
) -> None:
    report = format_report(replace(evaluation, name=name, title="A-Set"), style)
    rows = [line for line in report.splitlines() if "Mask2Alpha" in line]
    assert len(rows) == 1
    assert "published" in rows[0]
    ours = next(line for line in report.splitlines() if "measured here" in line)
    assert "tiny, 3 steps" in ours
    assert "31.00" in ours
    masks = next(line for line in report.splitlines() if "the masks themselves" in line)
    assert "9.50" in masks
    assert "Not known: " in report
    assert PUBLISHED[name].source in report


def test_published_numbers_are_the_papers() -> None:
    table = {
        name: {row.method: (row.sad, row.mse, row.grad, row.conn) for row in published.rows}
        for name, published in PUBLISHED.items()
    }
    assert set(table) == {"aim-500", "am-2k", "p3m-500-np", "m-him2k"}
    assert table["aim-500"]["Mask2Alpha"] == (35.61, 0.0091, 29.74, 31.07)
    assert table["am-2k"]["GFM"] == (11.18, 0.0031, 10.27, 9.77)
    assert table["p3m-500-np"]["MaGGIe"] == (11.39, 0.0017, 13.52, 10.86)
    assert table["m-him2k"]["InstMatt"] == (19.48, 0.0017, 11.61, 17.02)
    assert {len(rows) for name, rows in table.items() if name != "m-him2k"} == {7}


def test_the_row_of_the_published_masks_is_compared(evaluation: Evaluation) -> None:
    kinds = {"exact": "r50_c4_3x", "holes": "x101_fpn_3x"}
    renamed = replace(
        evaluation,
        name="m-him2k",
        kinds=tuple(kinds.values()),
        pairs=tuple(replace(pair, kind=kinds[pair.kind]) for pair in evaluation.pairs),
    )
    ours = next(line for line in format_report(renamed).splitlines() if "measured here" in line)
    assert "measured here, r50_c4_3x" in ours
    assert "3.00" in ours.split("r50_c4_3x")[1]


def test_a_folder_has_no_published_rows(evaluation: Evaluation) -> None:
    assert "published" not in format_report(evaluation)
    assert json.loads(format_report(evaluation, "json"))["published"] is None


def test_json_keeps_published_numbers_apart(evaluation: Evaluation) -> None:
    report = json.loads(format_report(replace(evaluation, name="aim-500"), "json"))
    assert report["published"]["is_measured_here"] is False
    assert report["published"]["rows"][-1]["method"] == "Mask2Alpha"
    assert report["protocol"]["name"] == "whole"
    assert report["protocol"]["convention"] == "adobe"


def test_an_incomplete_benchmark_is_said_to_be_so(evaluation: Evaluation) -> None:
    few = replace(evaluation, name="aim-500", title="AIM-500", num_images=2, official_count=500)
    assert "Incomplete: 2 of the 500 photos of AIM-500" in format_report(few)
    assert json.loads(format_report(few, "json"))["is_incomplete"] is True
    assert "Incomplete" not in format_report(replace(few, num_images=500))


def test_convention_and_protocol_are_named(evaluation: Evaluation) -> None:
    report = format_report(replace(evaluation, convention="aim", protocol="trimap-unknown"))
    assert "Protocol trimap-unknown: unknown region of the benchmark's trimap" in report
    assert "AIM convention" in report
    assert "Adobe" not in report
    him2k = json.loads(format_report(replace(evaluation, protocol="him2k"), "json"))["protocol"]
    assert him2k["grad"].endswith("sum / (pixels + 1)")


@pytest.mark.parametrize("style", ["text", "markdown"])
def test_instance_quality_is_a_table_of_its_own(evaluation: Evaluation, style: Literal["text", "markdown"]) -> None:
    def counts(hits: int, quality: float) -> tuple[InstanceCounts, ...]:
        return tuple(
            InstanceCounts(
                threshold=threshold,
                num_true_positives=hits,
                num_false_positives=4 - hits,
                num_false_negatives=4 - hits,
                quality=Quality(mad=quality, mse=quality, grad=quality, conn=quality),
            )
            for threshold in (0.5, 0.75)
        )

    instances = tuple(
        InstanceScores(photograph=name, kind=kind, of=of, counts=one)
        for name in ("a", "b")
        for kind in ("exact", "holes")
        for of, both in (("prediction", counts(3, 1.5)), ("mask", counts(2, 0.4)))
        for one in both
    )
    report = format_report(replace(evaluation, protocol="him2k", instances=instances), style)
    row = next(line for line in report.splitlines() if line.strip("| ").startswith("all") and "0.75" in line)
    assert row.replace("|", " ").split() == ["all", "0.75", "12", "4", "4", *["0.3750"] * 4, *["0.1000"] * 4]
    data = json.loads(format_report(replace(evaluation, protocol="him2k", instances=instances), "json"))
    assert data["instances"]["holes"][0]["imq"]["grad"] == pytest.approx(3 / 8)
