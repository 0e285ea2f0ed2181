"""What an artifact is called: one parser and one printer."""

from dataclasses import dataclass

from artifacts.errors import RequestError


@dataclass(frozen=True, order=True)
class ArtifactId:
    """A file of a run: for which target, in which precision, and which of the recipe's rows for the target it belongs to."""

    target: str
    precision: str
    """`fp32`, `int8-ptq`, `reference`, ...; without the label."""
    label: str | None = None

    def __str__(self) -> str:
        """As recipes, tables and folders name it.

        >>> str(ArtifactId("onnxruntime-cpu", "int8-ptq", "basic"))
        'onnxruntime-cpu/int8-ptq@basic'
        """
        return f"{self.target}/{self.variant}"

    @property
    def variant(self) -> str:
        """The precision with the label, which tells the files of one target apart."""
        return f"{self.precision}@{self.label}" if self.label else self.precision

    @property
    def row(self) -> str:
        """The recipe's row for the target: `onnxruntime-cpu`, or `onnxruntime-cpu@basic` where it has a label."""
        return f"{self.target}@{self.label}" if self.label else self.target

    def beside(self, precision: str) -> "ArtifactId":
        """The file of another precision in the same row."""
        return ArtifactId(self.target, precision, self.label)

    @classmethod
    def parse(cls, text: str) -> "ArtifactId":
        """Read what `str` wrote.

        >>> ArtifactId.parse("onnxruntime-cpu/int8-ptq@basic").label
        'basic'

        Raises:
            RequestError: the text has no target or no precision.
        """
        target, slash, variant = text.partition("/")
        precision, at, label = variant.partition("@")
        if not (target and slash and precision) or (at and not label):
            raise RequestError(f"{text!r} is no artifact's name; such a name is TARGET/PRECISION or TARGET/PRECISION@LABEL.")
        return cls(target, precision, label or None)
