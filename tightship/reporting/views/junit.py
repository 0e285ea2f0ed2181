"""The gates and parity checks of a run as JUnit XML, which CI systems show as tests."""

from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from artifacts.records.evidence import ArtifactRecord, Evidence, GateRecord
from tightship.reporting.formatting import absence, clean, conversion, headline, parity_reason, short


def render(evidence: Evidence) -> str:
    """One test case per artifact and gate, one per parity check; one that failed per artifact that could not be made, checked
    or measured, and a skipped one per target that did not run.
    """
    root = Element("testsuites", name=clean(evidence.name))
    for record in evidence.artifacts:
        _add_artifact(root, record)
    for failed in evidence.failed:
        suite = SubElement(root, "testsuite", name=clean(failed.id))
        _fail(_case(suite, failed.id, failed.stage), failed.reason, f"log: {failed.log}" if failed.log else failed.kind)
    if evidence.not_run:
        _add_not_run(root, evidence)
    if not evidence.verdict.passed and root.find(".//failure") is None:
        _add_verdict(root, evidence)
    return _finish(root, evidence)


def render_results(evidence: Evidence, results: Sequence[tuple[str, GateRecord]]) -> str:
    """What `tightship gate` judged: one suite per artifact, one test case per check."""
    root = Element("testsuites", name=clean(evidence.name))
    suites = {name: SubElement(root, "testsuite", name=clean(name)) for name in dict.fromkeys(name for name, _ in results)}
    for name, gate in results:
        _add_gate(suites[name], name, gate)
    if not results:
        _fail(_case(SubElement(root, "testsuite", name="gate"), "run", "gate"), "nothing was judged", "")
    return _finish(root, evidence)


def _finish(root: Element, evidence: Evidence) -> str:
    for node in (root, *root):
        _count(node)
    _add_properties(root, evidence)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _add_gate(suite: Element, artifact: str, gate: GateRecord) -> None:
    case = _case(suite, artifact, gate.name)
    if not gate.passed:
        _fail(case, gate.reason or "no reason was recorded", _held(gate))


def _add_artifact(root: Element, record: ArtifactRecord) -> None:
    suite = SubElement(root, "testsuite", name=clean(record.id))
    for gate in record.gates:
        _add_gate(suite, record.id, gate)
    case = _case(suite, record.id, "parity")
    if not record.parity.passed:
        _fail(case, parity_reason(record.parity), f"limit: {record.parity.tolerance}")


def _add_not_run(root: Element, evidence: Evidence) -> None:
    suite = SubElement(root, "testsuite", name="not run")
    for missing in evidence.not_run:
        message = absence(missing) if missing.converted else clean(missing.reason)
        SubElement(_case(suite, missing.target, "run"), "skipped", message=message)
        for file in missing.converted:
            SubElement(_case(suite, file.id, "run"), "skipped", message=f"converted, not run: {conversion(file)}")


def _add_verdict(root: Element, evidence: Evidence) -> None:
    """A failed run in which every check passed must not look green."""
    suite = SubElement(root, "testsuite", name="verdict")
    _fail(_case(suite, "run", "verdict"), headline(evidence), "; ".join(evidence.verdict.reasons))


def _case(suite: Element, classname: str, name: str) -> Element:
    return SubElement(suite, "testcase", classname=clean(classname), name=clean(name))


def _fail(case: Element, message: str, detail: str) -> None:
    SubElement(case, "failure", message=clean(message), type=case.get("name", "")).text = clean(detail)


def _held(gate: GateRecord) -> str:
    value = "not measured" if gate.value is None else short(gate.value)
    return f"value: {value}; limit: {short(gate.limit)}"


def _count(node: Element) -> None:
    for key, tag in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
        node.set(key, str(len(node.findall(f".//{tag}"))))
    node.set("errors", "0")


def _add_properties(root: Element, evidence: Evidence) -> None:
    """Properties belong to a test suite in every reader of the format, so each one names the run."""
    known = {
        "recipe_sha256": evidence.recipe_sha256,
        "machine": evidence.machine.fingerprint(),
        "command": evidence.command,
    }
    for suite in root:
        properties = Element("properties")
        for name, value in known.items():
            SubElement(properties, "property", name=name, value=clean(value))
        suite.insert(0, properties)
