"""The section of a recipe that says what the task is: where its data come from, and what they are trained and scored for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from compress.configs import Config
from compress.losses.choice import TaskLoss
from tightship.recipe.data_formats import CsvConfig, HfConfig, WavConfig
from zoo.data import DataRef
from zoo.metrics import metric_name
from zoo.padding import Pad
from zoo.readers.npy import NpyFolder
from zoo.readers.source import Source

SOURCES = ("zoo", "factory", "imagefolder", "idx", "npz", "npy", "csv", "wav", "hf")
"""The keys that say where the examples come from."""


class PadConfig(Config):
    """How examples of one input, which differ in their first axis, are brought to one length."""

    length: Annotated[int, Field(strict=True, ge=1)] = Field(examples=[64])
    """Positions of every example."""
    value: float = 0
    """What stands where there is nothing."""
    mask: str | None = Field(None, examples=["mask"])
    """The input of the network that says which positions count, boolean (N, length)."""
    cut: bool = False
    """Whether longer examples are cut; else they are refused."""

    def pad(self) -> Pad:
        """What `zoo.padding` takes."""
        return Pad(self.length, self.value, self.mask, self.cut)


class DataConfig(Config):
    """Where the examples come from: exactly one of these."""

    zoo: str | None = Field(None, examples=["digits"])
    """A reference data set, as `tightship zoo` lists them; all but `digits` are read below `$TIGHTSHIP_DATA`."""
    factory: str | None = Field(None, examples=["data:load"])
    """`"module:callable"` of yours that returns the training and the test split, or a mapping with both."""
    imagefolder: Path | None = Field(None, examples=["$TIGHTSHIP_DATA/flowers"])
    """A folder with `train/CLASS/*` and `test/CLASS/*`: image files of one size, one folder a class."""
    idx: Path | None = Field(None, examples=["$TIGHTSHIP_DATA/fashion_mnist"])
    """A folder with the four IDX files of MNIST and its kin."""
    npz: Path | None = Field(None, examples=["data.npz"])
    """An NPZ file with the arrays `x_train`, `y_train`, `x_test` and `y_test`; it is read whole."""
    npy: Path | None = Field(None, examples=["arrays"])
    """A folder with `x_train.npy`, `y_train.npy`, `x_test.npy` and `y_test.npy`, read batch by batch; of several inputs
    `x_train_NAME.npy` and `x_test_NAME.npy`."""
    csv: CsvConfig | None = Field(None, examples=[{"train": "train.csv", "test": "test.csv", "target": "species"}])
    """A CSV or TSV file for each split: columns of numbers, one of text, or both."""
    wav: WavConfig | Path | None = Field(None, examples=["$TIGHTSHIP_DATA/fsdd/recordings"])
    """A folder of WAV files, or a mapping with it and what else is said."""
    hf: HfConfig | Path | None = Field(None, examples=["flowers"])
    """A folder that `save_to_disk` of Hugging Face's datasets wrote, or a mapping with it and what else is said."""
    metric: str | tuple[str, ...] | None = Field(None, examples=["mse"])
    """What the outputs are scored by, of several the first decides; by default what the data says itself: top1 for classes,
    negative-mse for values. A name, `module:name` of yours, and `NAME@OUTPUT` for one output."""
    targets: Literal["given", "none", "inputs"] = "given"
    """none: there are no labels, and outputs are held against those of the reference network. inputs: the one input is what
    the network should give back, as an autoencoder does."""
    batch_axis: Mapping[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict, examples=[{"state": 1}])
    """Input -> the axis along which the network takes its examples, where that is not the first, as recurrent state. The data
    give them first, and files take them first."""
    pad: Mapping[str, PadConfig] = Field(default_factory=dict, examples=[{"tokens": {"length": 64, "mask": "mask"}}])
    """Input -> how its examples of different lengths are brought to one; of a `factory` alone."""
    loss: TaskLoss | None = Field(None, examples=["bce"])
    """What every training minimizes that names no loss of its own; see `train`."""

    @field_validator("metric")
    @classmethod
    def _known(cls, given: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        names = (given,) if isinstance(given, str) else given
        if names is not None and not names:
            raise ValueError("the list of metrics is empty; leave it out, or name one")
        for name in names or ():
            metric_name(name)
        return given

    @model_validator(mode="after")
    def _one_source(self) -> "DataConfig":
        if sum(getattr(self, key) is not None for key in SOURCES) != 1:
            raise ValueError(f"give exactly one of {', '.join(map(repr, SOURCES[:-1]))} and {SOURCES[-1]!r}")
        if self.pad and self.factory is None:
            raise ValueError("'pad' is for data of a 'factory'; examples of the other formats have one length")
        return self

    def ref(self) -> DataRef:
        """What `zoo.data` loads."""
        return DataRef(
            self.zoo, self.factory, self.imagefolder, self.idx, self.npz, self.metrics or None, self.targets, self.batch_axis,
            {name: one.pad() for name, one in self.pad.items()}, self._source(),
        )  # fmt: skip

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that are named, the deciding one first."""
        return (self.metric,) if isinstance(self.metric, str) else self.metric or ()

    def _source(self) -> Source | None:
        if self.npy is not None:
            return NpyFolder(self.npy)
        wav = WavConfig(folder=self.wav) if isinstance(self.wav, Path) else self.wav
        hf = HfConfig(folder=self.hf) if isinstance(self.hf, Path) else self.hf
        given = self.csv or wav or hf
        return given.source() if given else None
