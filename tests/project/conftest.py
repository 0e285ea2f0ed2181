"""The made-up artifacts of the tests of `tightship`, for the tests of the project too."""

import importlib.util
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location("made_up", Path(__file__).parents[1] / "tightship" / "conftest.py")
_MADE_UP = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MADE_UP)
artifact, evidence_of = _MADE_UP.artifact, _MADE_UP.evidence_of
