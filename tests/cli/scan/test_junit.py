"""JUnit XML: the numbers add up, names of any kind survive, and only what the CI systems' schema knows is used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from dormancy.errors import FileError
from dormancy.io import Source
from dormancy_cli.scan.collect import Collection, Group
from dormancy_cli.scan.gates.check import check
from dormancy_cli.scan.gates.gate import parse
from dormancy_cli.scan.junit import to_junit
from dormancy_cli.shared.paths import Failure
from tests.cli.runs import Dormancy
from tests.cli.scan.gates.test_gates import scan_of

KNOWN = {
    "testsuites": {"name", "tests", "failures", "errors", "time"},
    "testsuite": {"name", "tests", "failures", "errors", "time"},
    "testcase": {"classname", "name", "time"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
    "system-out": set(),
}
"""The elements and attributes used, all of them in the schema that Jenkins' xUnit plugin publishes (junit-10.xsd)."""


def read(text: str) -> ElementTree.Element:
    root = ElementTree.fromstring(text)
    for element in root.iter():
        assert set(element.attrib) <= KNOWN[element.tag], element.tag
    for suite in [root, *root.findall("testsuite")]:
        counted = {"tests": "testcase", "failures": "failure", "errors": "error"}
        assert {name: int(suite.attrib[name]) for name in counted} == {
            name: len(list(suite.iter(tag))) for name, tag in counted.items()
        }
    return root


def test_gates_failures_and_errors_are_test_cases(
    dormancy: Dormancy, series_folder: Path, broken: Path, tmp_path: Path
) -> None:
    path = tmp_path / "audit.xml"
    gates = ("--fail-above", "0.5", "--fail-above", "fc1=0.9")
    result = dormancy("scan", series_folder, broken, "--tau", 0, *gates, "-o", path, "-q")
    assert result.code == 1
    root = read(path.read_text())
    assert root.attrib["tests"] == "7"
    assert [suite.attrib["name"] for suite in root] == ["cartpole", "inputs that could not be scanned"]
    (failed,) = root.iter("failure")
    assert "66.7 % dormant at tau 0, 16.7 points above the limit" in failed.attrib["message"] == failed.text
    (error,) = root.iter("error")
    assert str(broken) in str(error.text)
    names = [case.attrib["name"] for case in root.iter("testcase")]
    assert len(set(names)) == len(names)
    assert names[4].endswith("step_00003000.pt --fail-above 0.5")


def test_without_gates_every_checkpoint_is_a_case_that_passed(dormancy: Dormancy, series_folder: Path) -> None:
    root = read(dormancy("scan", series_folder, "--tau", 0, "--format", "junit", "-q").out)
    assert [case.findtext("system-out") for case in root.iter("testcase")] == [
        f"12 neurons, {share} % dormant at tau 0" for share in ("16.7", "41.7", "66.7")
    ]


def test_a_gate_that_cannot_be_judged_is_an_error() -> None:
    scan = scan_of(1)
    verdict = check(parse("--fail-increase", "0.1"), scan, 0.1, run="run")
    root = read(to_junit(Collection((Group("run", (scan,), None),), ()), [verdict]))
    (error,) = root.iter("error")
    assert (error.attrib["type"], error.text) == ("NotJudged", "no baseline was given")


@given(st.text(min_size=1), st.text(), st.text())
def test_a_name_of_any_kind_gives_a_well_formed_document(path: str, run: str, layer: str) -> None:
    scan = scan_of(9)
    scan = replace(
        scan,
        checkpoint=Source(path, "native", "0"),
        layers=(replace(scan.layers[0], name=layer),),
    )
    verdict = check(parse("--fail-above", f"dormant@{layer}=0.5") if layer else parse("--fail-above", "0.5"), scan, 0.1)
    verdict = replace(verdict, run=run)
    collection = Collection((Group(run, (scan,), None),), (Failure(path, FileError(f"{path}: is broken")),))
    root = read(to_junit(collection, [verdict]))
    assert [len(list(root.iter(tag))) for tag in ("testcase", "failure", "error")] == [2, 1, 1]


def test_markup_and_control_characters_in_names_are_shown_and_do_nothing() -> None:
    hostile = 'a"><failure/>&\x1b[2J\x00\ud800￾]]>.pt'
    scan = replace(scan_of(1), checkpoint=Source(hostile, "native", "0"))
    root = read(to_junit(Collection((Group("run", (scan,), None),), ()), []))
    (case,) = root.iter("testcase")
    assert case.attrib["name"] == 'a"><failure/>&\\x1b[2J\\x00\\ud800\\ufffe]]>.pt'
