"""`ecoload report` on a folder from anywhere: what is no run's is said, and nothing reaches the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ecoload.cli import main
from tests.unit.report_samples import passing


def ended(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a command."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(str(caught.value.code)), capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "null",
        json.dumps(passing() | {"duration_s": {}}),
        json.dumps(passing() | {"routes": [None]}),
        json.dumps(passing() | {"validity": "x"}),
        json.dumps(passing() | {"notes": 7}),
        json.dumps(passing() | {"proofs": True}),
    ],
)
def test_a_result_that_is_none_is_said_to_be_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (tmp_path / "run.json").write_text(content)
    code, err = ended(capsys, "report", str(tmp_path))
    assert (code, str(tmp_path) in err, "internal error" in err) == (2, True, False), err


def test_an_error_brings_no_control_characters_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text(json.dumps(passing() | {"routes": {"\x1b]0;owned\x07": 1}}))
    (tmp_path / "targets.yaml").write_text('"a\\e[2Jb\\a\\u202e": 1\n')
    for arguments in (("report", str(tmp_path)), ("validate", "--targets", str(tmp_path / "targets.yaml"))):
        code, err = ended(capsys, *arguments)
        assert code == 2
        assert not {"\x1b", "\x07", "\u202e"} & set(err)
        assert err.startswith("ecoload: ")
