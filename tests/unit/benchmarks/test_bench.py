import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))  # scripts, not a package

import calls  # noqa: E402
import measuring  # noqa: E402
import promises  # noqa: E402
import rates  # noqa: E402
import report  # noqa: E402
import stages  # noqa: E402

from mask2alpha.model.config import PRESETS  # noqa: E402
from mask2alpha.model.mask2alpha import Mask2Alpha  # noqa: E402
from mask2alpha.pipeline.predictor import Predictor  # noqa: E402

RATES = {"matmul": 1e9, "conv": 5e8, "copy": {"32768": 1e10, "2097152": 1e9}}


def test_calls_take_turns_and_the_first_turn_does_not_count() -> None:
    order: list[str] = []
    times = measuring.take_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b"] * 3
    assert [len(seconds) for seconds in times.values()] == [2, 2]


def test_a_ratio_is_the_median_of_each_turns_ratio() -> None:
    times = {"slow": [2.0, 30.0, 4.0], "fast": [1.0, 10.0, 1.0]}  # one turn on a busy machine
    assert measuring.ratio(times, "slow", "fast") == 3.0


@pytest.mark.slow
def test_a_child_returns_its_result_or_why_it_failed() -> None:
    settings = measuring.Settings(threads=1, timeout_s=120)
    assert measuring.in_child("builtins.dict", {"answer": 42}, settings) == {"answer": 42}
    failed = measuring.in_child("builtins.int", {"nothing": 1}, settings)["failed"]
    assert "TypeError" in failed


def test_operations_and_bytes_of_a_product_are_counted() -> None:
    left, right = torch.ones(4, 8), torch.ones(8, 16)
    with torch.inference_mode(), rates.OpCounter(RATES) as counter:
        counter.stage = "encode"
        (left @ right).view(-1).add_(1)
    total = counter.totals["encode"]
    product, addition = 4 * (4 * 8 + 8 * 16 + 4 * 16), 2 * 4 * 4 * 16
    assert total["operations"] == 2 * 4 * 8 * 16
    assert total["bytes"] == product + addition  # a view costs nothing
    assert total["compute_s"] == pytest.approx(2 * 4 * 8 * 16 / 1e9)
    assert total["floor_s"] == pytest.approx(max(2 * 4 * 8 * 16 / 1e9, product / 1e10) + addition / 1e10)


def test_the_stages_add_up_to_the_call(rng: np.random.Generator) -> None:
    predictor = Predictor(Mask2Alpha(PRESETS["tiny"]), device="cpu", dtype=torch.float32, num_steps=3)
    watch = stages.StageWatch(predictor.model)
    image, mask = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8), np.zeros((64, 64), dtype=bool)
    mask[16:48, 16:48] = True
    seconds = watch.time(lambda: predictor.predict(image, mask))
    assert set(watch.seconds) == set(stages.STAGES)
    assert all(value > 0 for value in watch.seconds.values())
    assert sum(watch.seconds.values()) == pytest.approx(seconds)
    with rates.OpCounter(RATES) as counter:
        watch.counter = counter
        predictor.predict(image, mask)
    assert all(counter.totals[stage]["operations"] > 0 for stage in ("encode", "guide and fuse", "steps", "detail"))


def test_the_scene_keeps_the_object_and_shrinks_it() -> None:
    for scale in (1.0, 0.5):
        image, mask = calls.make_scene(64, scale)
        assert image.shape == (64, 64, 3)
        assert (mask[round(64 * scale) :] == 0).all()
        assert mask.any()


def result_of(sections: dict[str, Any], *, is_quick: bool = False) -> dict[str, Any]:
    environment = measuring.describe_environment(1)
    return {
        "is_quick": is_quick,
        "repeats": 1,
        "environment": environment,
        "machine": {"failed": "no"},
        "sections": sections,
    }


def test_a_promise_that_is_not_kept_is_named() -> None:
    section = {"bfloat16, large pages": {"dense_over_sparse": 4.0}, "float32, large pages": {"dense_over_sparse": 11.0}}
    (broken,) = promises.find_broken(result_of({"sparse": section}))
    assert broken == "4 times faster than the dense twin, bfloat16; at least 6 is wanted"
    assert promises.find_broken(result_of({"sparse": section}, is_quick=True)) == []
    assert promises.find_broken(result_of({"stages": {"8K": {"peak_mb": 4100}}})) == [
        "4.1 GB resident at 8K; at most 4 is wanted"
    ]


def test_tables_stand_between_their_marks_and_replace_older_ones() -> None:
    times = {"median_s": 0.5}
    section = {"1024²": times, "4K": {"median_s": 2.0}, "ratios": {"4K over 1024²": 3.9}}
    text = "before\n<!-- sizes -->\nold\n<!-- end -->\nbetween\n<!-- peers -->\n<!-- end -->\n"
    once = report.fill(text, result_of({"sizes": section}))
    assert "| 4K | 2000 | 3.90 |" in once
    assert "old" not in once
    assert "Not measured in this run." in once
    assert report.fill(once, result_of({"sizes": section})) == once


def test_a_failure_is_written_into_its_table() -> None:
    section = {"2048": {"ViTMatte-S float32": {"failed": "not enough memory"}}}
    assert "not enough memory" in report.peers_table(section)


def test_the_document_has_a_place_for_every_section() -> None:
    names = set(re.findall(r"<!-- ([\w-]+) -->", report.DOCUMENT.read_text(encoding="utf-8"))) - {"end"}
    assert names == {*report.TABLES, "environment", "machine"}
