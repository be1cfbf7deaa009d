"""The files of TLS in a plan: the same plan wherever the workspace lies, another one with another
certificate, and never anything of the key."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from pathlib import Path

import orjson
import pytest

from ecoload.engine.tls import client_context
from ecoload.errors import UsageError
from ecoload.guard.authors import files_of
from ecoload.measure.plan_file import read_plan
from ecoload.plan import Origin, Plan, Scenario, to_tree
from ecoload.protocol.session import inputs_of
from ecoload.spec.workspace import load_workspace, make_plan

TARGETS = """\
protocol: {namespace: perf_test}
profiles:
  once: {executor: constant, vus: 1, duration: 1s, pacing: 1s}
apps:
  one:
    base_url: https://one.example
    environment: staging
    tls: {ca_file: tls/ca.pem, client_cert: tls/me.pem, client_key: tls/me.key}
    routes: {home: {get: /, effect: none}}
"""
KEY = "the key: canary"


def workspace(root: Path) -> Path:
    (root / "tls").mkdir(parents=True)
    (root / "scenarios").mkdir()
    (root / "targets.yaml").write_text(TARGETS)
    (root / "scenarios" / "one.yaml").write_text("app: one\nsteps: [{route: home}]\n")
    for name, content in (("ca.pem", "a CA"), ("me.pem", "a certificate"), ("me.key", KEY)):
        (root / "tls" / name).write_text(content)
    return root


def plan(root: Path, **options: object) -> Plan:
    loaded = load_workspace(root / "targets.yaml", environ={})
    return make_plan(loaded, "one", "once", **options)  # type: ignore[arg-type]


def test_the_hash_does_not_depend_on_where_the_workspace_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = plan(workspace(tmp_path / "here")), plan(workspace(tmp_path / "there"))
    monkeypatch.chdir(tmp_path / "here")
    relative = plan(Path())
    assert here.execution_hash == there.execution_hash == relative.execution_hash
    assert here.origins[0].tls_root == relative.origins[0].tls_root == str(tmp_path / "here")
    assert here.origins[0].ca_file == "tls/ca.pem"


@pytest.mark.parametrize(("file", "other"), [("ca.pem", True), ("me.pem", True), ("me.key", False)])
def test_another_certificate_is_another_plan_and_another_key_is_not(
    tmp_path: Path, file: str, other: bool
) -> None:
    root = workspace(tmp_path / "ws")
    before = plan(root).execution_hash
    (root / "tls" / file).write_text("something else")
    assert (plan(root).execution_hash != before) is other


def test_nothing_of_the_key_is_in_the_plan(tmp_path: Path) -> None:
    text = orjson.dumps(to_tree(plan(workspace(tmp_path / "ws")))).decode()
    assert "tls/me.key" in text
    for secret in (KEY, hashlib.sha256(KEY.encode()).hexdigest()):
        assert secret not in text


def test_a_plan_that_was_written_reads_back_with_its_hash(tmp_path: Path) -> None:
    made = plan(workspace(tmp_path / "ws"))
    (tmp_path / "plan.json").write_bytes(orjson.dumps(to_tree(made)))
    assert read_plan(tmp_path / "plan.json") == made


def test_what_is_not_used_is_not_in_the_plan(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    for options in (
        {"base_urls": {"one": "http://one.example"}},
        {"base_urls": {"one": "https://127.0.0.1:1"}, "embedded": ["one"]},
    ):
        (origin,) = plan(root, **options).origins
        assert (origin.ca_file, origin.client_cert, origin.client_key) == (None, None, None)
        assert (origin.tls_sha256, origin.tls_root) == ((), "")


def test_a_certificate_that_was_changed_since_the_plan_was_made_is_not_used(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    (origin,) = plan(root).origins
    with pytest.raises(UsageError, match="must be PEM files"):
        client_context(origin)
    (root / "tls" / "ca.pem").write_text("another CA")
    with pytest.raises(UsageError, match=r"one: tls/ca\.pem has changed since the plan was made"):
        client_context(origin)
    (root / "tls" / "me.pem").write_text("another certificate")
    with pytest.raises(UsageError, match=r"one: tls/me\.pem has changed since the plan was made"):
        client_context(dataclasses.replace(origin, ca_file=None))


def test_a_certificate_that_is_not_there_is_told_of_when_it_is_used(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    shutil.rmtree(root / "tls")
    (origin,) = plan(root).origins
    assert origin.tls_sha256 == ()
    with pytest.raises(UsageError, match="cannot be used"):
        client_context(origin)


def test_a_suite_takes_its_certificates_with_it_and_no_key(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    made = plan(root)
    inputs = inputs_of(root / "targets.yaml", root / "scenarios", [made])
    assert set(inputs) == {"targets.yaml", "scenarios/one.yaml", "tls/ca.pem", "tls/me.pem"}
    for name, source in inputs.items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, tmp_path / "copy" / name)
    assert plan(tmp_path / "copy").execution_hash == made.execution_hash
    elsewhere = Origin(
        "one", "https", "one.example", 443, tls_sha256=(("/etc/ca.pem", ""), ("../ca.pem", ""))
    )
    outside = dataclasses.replace(made, origins=(elsewhere,))
    assert "tls/ca.pem" not in inputs_of(root / "targets.yaml", root / "scenarios", [outside])
    assert not {"/etc/ca.pem", "../ca.pem"} & set(inputs_of(root / "targets.yaml", root / "s", [outside]))


def test_a_suite_takes_python_scenarios_from_beside_its_targets_only(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    for module, taken in (("scenarios/one.py", True), ("../alt/one.py", False), ("/alt/one.py", False)):
        made = dataclasses.replace(plan(root), scenarios=(Scenario("one", module=module),))
        if taken:
            inputs_of(root / "targets.yaml", root / "scenarios", [made])
            continue
        with pytest.raises(UsageError, match=r"from scenarios/ beside .*targets"):
            inputs_of(root / "targets.yaml", tmp_path / "alt", [made])


def test_who_wrote_a_certificate_is_an_author_of_the_change(tmp_path: Path) -> None:
    assert set(files_of(plan(workspace(tmp_path / "ws")))) == {"tls/ca.pem", "tls/me.pem"}
