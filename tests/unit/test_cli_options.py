"""The options that commands share."""

from __future__ import annotations

import pytest

from ecoload.cli import main


@pytest.mark.parametrize("command", [["suite"], ["plan", "suite"], ["cleanup"]])
@pytest.mark.parametrize("given", ["", " , "])
def test_names_that_are_given_and_empty_do_not_mean_all(
    command: list[str], given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--apps", given])
    assert ended.value.code == 2
    assert "expected names such as a2,a6, got none" in capsys.readouterr().err
