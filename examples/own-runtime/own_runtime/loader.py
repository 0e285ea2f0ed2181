"""ONNX's reference evaluator as it is timed; a bundle ships this module as it is."""

from artifacts.errors import ModelError
from artifacts.types import Arrays, Engine


class ReferenceProgram:
    """An ONNX file, run by NumPy one operator after the other; `threads` changes nothing.

    Raises:
        ModelError: the file cannot be opened.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        from onnx.reference import ReferenceEvaluator

        try:
            self.evaluator = ReferenceEvaluator(str(engine.path))
        except Exception as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(f"the reference evaluator cannot open {engine.path.name}: {first}") from error
        if not self.evaluator.output_names:  # what an empty file is read as
            raise ModelError(f"the reference evaluator cannot open {engine.path.name}: it gives nothing.")

    def run(self, inputs: Arrays) -> Arrays:
        """Run one batch."""
        return dict(zip(self.evaluator.output_names, self.evaluator.run(None, inputs), strict=True))
