"""The synthetic records: the same every time, nobody's, and right about money."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ecoload.cli import main
from ecoload.cli.commands import ecoload
from ecoload.export.records import data_file
from ecoload.spec.feeders import FILE, read_data

ROOT = Path(__file__).parents[2]


def records(seed: int = 1) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data_file(seed).splitlines()]


def test_the_file_of_the_workspace_is_what_the_command_makes() -> None:
    assert (ROOT / FILE).read_bytes() == data_file(1), "run: ecoload data"


def test_a_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert data_file(7) == data_file(7)
    assert data_file(7) != data_file(8)


def test_each_record_names_its_feeder_and_the_records_of_a_feeder_have_the_same_keys() -> None:
    keys: dict[str, set[str]] = {}
    for record in records():
        assert keys.setdefault(record["feeder"], set(record)) == set(record)
    assert set(keys) == {"events", "students", "prompts", "providers", "contracts", "impressions", "filters"}


def test_nothing_looks_like_an_address_a_telephone_number_or_a_card() -> None:
    texts = [value for record in records() for value in record.values() if isinstance(value, str)]
    assert not [text for text in texts if "@" in text or re.search(r"\d{7}|\d{3}[ -]\d{4}", text)]


def test_contracts_come_to_what_fractions_say() -> None:
    contracts = [record for record in records() if record["feeder"] == "contracts"]
    reference = contracts[0]
    assert (reference["amount_cents"], reference["fee_cents"]) == (100_000, 3_000)
    assert (reference["ai_cost_cents"], reference["ai_price_cents"]) == (1_000, 4_000)
    for contract in contracts:
        exact = Fraction(contract["amount_cents"] * 3, 100)
        assert contract["fee_cents"] == (exact + Fraction(1, 2)).__floor__()
        assert contract["ai_price_cents"] == 4 * contract["ai_cost_cents"]


def test_the_command_writes_a_file_that_the_feeders_read(tmp_path: Path) -> None:
    result = CliRunner().invoke(ecoload, ["data", "--targets", str(tmp_path / "targets.yaml"), "--seed", "3"])
    assert result.exit_code == 0
    assert len(read_data(tmp_path).of("contracts")) == 100


def test_the_command_leaves_alone_what_somebody_wrote(tmp_path: Path) -> None:
    file = tmp_path / FILE
    file.parent.mkdir(parents=True)
    file.write_text('{"feeder": "mine"}\n')
    with pytest.raises(SystemExit) as end:
        main(["data", "--targets", str(tmp_path / "targets.yaml")])
    assert end.value.code == 2
    assert file.read_text() == '{"feeder": "mine"}\n'
