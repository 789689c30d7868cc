import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from mask2alpha.progress import Form, show_progress, track

DOCUMENT = Path(__file__).parents[2] / "docs" / "agents.md"


def count_three(form: Form) -> None:
    with show_progress(form), track("evaluate", unit="pair", total=3) as progress:
        for _ in range(3):
            progress.update()


def test_json_lines_begin_at_the_start_and_end_at_the_total(capsys: pytest.CaptureFixture[str]) -> None:
    count_three("json")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [lines[0]["done"], lines[-1]["done"]] == [0, 3]
    assert {line["total"] for line in lines} == {3}
    assert all(line["seconds"] >= 0 for line in lines)


def test_the_document_names_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    count_three("json")
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    section = DOCUMENT.read_text(encoding="utf-8").partition("## Progress")[2]
    (example,) = re.findall(r"```json\n(.*?)\n```", section, re.DOTALL)
    assert json.loads(example).keys() == line.keys()
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(line)


def test_a_task_of_unknown_length_counts_what_was_done_before(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress("json"), track("matte", unit="matte", done=4) as progress:
        progress.total = 9
        progress.update(5)
    first, *_, last = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (first["done"], first["total"]) == (4, None)
    assert (last["done"], last["total"]) == (9, 9)


def test_failed_work_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with track("matte", unit="matte", total=2) as progress:
            progress.update()
            raise OSError("full")

    with show_progress("json"), pytest.raises(OSError, match="full"):
        fail()
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["done"] == 1


@pytest.mark.parametrize("form", ["auto", "none"])
def test_nothing_is_shown_away_from_a_terminal(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    count_three(form)
    with track("evaluate", unit="pair", total=3) as progress:  # the library alone
        progress.update()
    assert capsys.readouterr() == ("", "")


def test_a_bar_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    count_three("bar")
    assert "3/3" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["matte", "batch", "video", "train", "eval", "compare", "ablate"])
def test_long_commands_take_the_option(name: str) -> None:
    command = import_module(f"mask2alpha.cli.{name}").command
    assert "progress" in {parameter.name for parameter in command.params}
