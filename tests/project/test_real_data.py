"""Tests on real data are skipped where there are none, and fail where they are demanded."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
SAMPLE = "import pytest\n\n@pytest.mark.data\ndef test_on_data(): pass\n\ndef test_plain(): pass\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "summary"),
    [
        ({}, "1 passed, 1 skipped"),
        ({"TIGHTSHIP_REQUIRE_DATA": "1"}, "1 passed, 1 error"),
        ({"TIGHTSHIP_REQUIRE_DATA": "0"}, "1 passed, 1 skipped"),
        ({"TIGHTSHIP_DATA": "/no/such/folder"}, "1 passed, 1 error"),
        ({"TIGHTSHIP_DATA": "/no/such/folder", "TIGHTSHIP_REQUIRE_DATA": "1"}, "1 passed, 1 error"),
        ({"TIGHTSHIP_DATA": ".", "TIGHTSHIP_REQUIRE_DATA": "1"}, "2 passed"),
        ({"TIGHTSHIP_DATA": "."}, "2 passed"),
    ],
    ids=str,
)
def test_real_data_are_skipped_demanded_or_used(tmp_path, environment, variables, summary):
    shutil.copyfile(CONFTEST, tmp_path / "conftest.py")
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  data: needs data\n")
    kept = {k: v for k, v in environment().items() if k not in ("TIGHTSHIP_DATA", "TIGHTSHIP_REQUIRE_DATA")}
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-p", "no:benchmark", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env={**kept, **variables}, capture_output=True, text=True)
    order = "skipped" in summary and "set TIGHTSHIP_DATA" not in done.stdout
    assert summary in done.stdout, done.stdout
    assert not order, "the reason for skipping tells what to set"
