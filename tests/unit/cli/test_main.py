from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from mask2alpha.cli import main as main_module
from mask2alpha.cli.main import COMMANDS, main
from mask2alpha.errors import InputError


def test_help_lists_every_command_without_importing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module, "import_module", pytest.fail)
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert all(name in result.output for name in COMMANDS)


def test_our_errors_are_one_line_and_exit_code_two(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def command() -> None:
        raise InputError("the mask is no mask")

    monkeypatch.setattr(main_module, "import_module", lambda name: SimpleNamespace(command=command))
    result = CliRunner().invoke(main, ["info"])
    assert result.exit_code == 2
    assert result.stderr == "Error: the mask is no mask\n"


def test_other_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def command() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(main_module, "import_module", lambda name: SimpleNamespace(command=command))
    assert isinstance(CliRunner().invoke(main, ["info"]).exception, ZeroDivisionError)


def test_an_unknown_command_is_refused() -> None:
    result = CliRunner().invoke(main, ["mate"])
    assert result.exit_code == 2
    assert "mate" in result.stderr
