"""Every example in a docstring of the public face runs, and gives what it says."""

import doctest
import inspect

import pytest

import tightship as ts


def examples():
    """Every docstring with an example, of public names and of the methods of public classes, once each."""
    finder, found = doctest.DocTestFinder(exclude_empty=True), {}
    for name in ts.__all__:
        value = getattr(ts, name)
        if inspect.isfunction(value) or inspect.isclass(value):
            for test in finder.find(value, name, globs={}):
                found.setdefault((test.filename, test.lineno), test)
    return [test for test in found.values() if test.examples]


@pytest.mark.parametrize("example", examples(), ids=lambda test: test.name)
def test_the_example_runs(example, workplace):
    told = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(example, out=told.append)
    assert not runner.failures, "".join(told)


def test_no_example_is_skipped_for_want_of_care():
    skipped = [(test.name, e.source) for test in examples() for e in test.examples if e.options.get(doctest.SKIP)]
    # what needs a library that is not everywhere, or minutes
    assert {name.partition(".")[0] for name, _ in skipped} <= {"Run", "log_to_mlflow", "sensitivity"}
