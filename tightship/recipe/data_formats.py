"""What a recipe says of data in formats that have settings of their own."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from compress.base_config import Config
from zoo.readers.hf import HfFolder
from zoo.readers.tables.files import CsvFiles
from zoo.readers.wav import WavFolder

Count = Annotated[int, Field(strict=True, ge=1)]


class CsvConfig(Config):
    """A CSV or TSV file for each split, in UTF-8."""

    train: Path = Field(examples=["train.csv"])
    """The file of the training split, looked for beside the recipe."""
    test: Path = Field(examples=["test.csv"])
    """The file of the test split."""
    target: Annotated[str, Field(coerce_numbers_to_str=True)] = Field(examples=["species"])
    """The column of targets. Whole numbers are class numbers, other numbers values, and text names classes, which are numbered
    in the order of the alphabet."""
    columns: tuple[Annotated[str, Field(coerce_numbers_to_str=True)], ...] | None = Field(None, examples=[["width", "height"]])
    """The columns of numbers that become the input `input`, float32 (N, columns); by default all but the target, and none
    where there is a `text`."""
    text: Annotated[str, Field(coerce_numbers_to_str=True)] | None = Field(None, examples=["sentence"])
    """The column of text that becomes the input `tokens`, int64 (N, length)."""
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = Field(None, examples=[";"])
    """What stands between values; by default a tab in .tsv files, else what the header has most of: a comma, a semicolon, a
    tab or a bar."""
    header: bool = True
    """Whether the first row names the columns; without they are called 0, 1, ..."""
    quotes: bool = True
    """Whether a double quote encloses values, which may then hold separators and new lines."""
    standardize: bool = True
    """Whether columns of numbers are brought to mean 0 and standard deviation 1, by the figures of the training split."""
    tokens: Literal["words", "bytes"] = "words"
    """What a text is cut into: lower-cased words, numbered by how common they are in the training split, or bytes of UTF-8,
    numbered by their value and 2. 0 is padding, 1 an unknown word."""
    vocabulary: Annotated[int, Field(strict=True, ge=3)] = 20_000
    """How many tokens there are at most, padding and the unknown word among them; of bytes there are 258."""
    length: Count = 64
    """How many tokens an example has: longer texts are cut, shorter ones padded."""
    lengths: bool = False
    """Whether the number of each example's tokens becomes one more input, `lengths`, int64 (N,)."""

    @model_validator(mode="after")
    def _text_only(self) -> "CsvConfig":
        if self.text is None:
            given = [key for key in ("tokens", "vocabulary", "length", "lengths") if key in self.model_fields_set]
            if given:
                raise ValueError(f"{given[0]!r} is about a column of text; name it as 'text'")
        if self.target in (self.columns or ()) or self.target == self.text:
            raise ValueError(f"the target {self.target!r} cannot be an input too")
        if self.columns == ():
            raise ValueError("'columns' names none; leave it out, or name those that hold numbers")
        return self

    def source(self) -> CsvFiles:
        """What reads it."""
        return CsvFiles(**dict(self))


class WavConfig(Config):
    """Recordings, one file an example: they become the input `audio`, float32 (N, 1, samples)."""

    folder: Path = Field(examples=["$TIGHTSHIP_DATA/fsdd/recordings"])
    """A folder with `train/CLASS/*.wav` and `test/CLASS/*.wav`, or with `CLASS_*.wav`."""
    samples: Count | None = Field(None, examples=[8000])
    """How many samples an example has: longer recordings are cut at their end, shorter ones continued with zeros; by default
    as many as the longest of the training split."""
    test_files: str | None = Field(None, examples=["*_[0-4].wav"])
    """In a folder without train and test: the names of the test split's files, with `*`, `?` and `[...]`; by default a fixed
    draw of a fifth of each class."""

    def source(self) -> WavFolder:
        """What reads it."""
        return WavFolder(**dict(self))


class HfConfig(Config):
    """A data set of Hugging Face, as `save_to_disk` writes it."""

    folder: Path = Field(examples=["flowers"])
    """The folder that `DatasetDict.save_to_disk` wrote, with the splits train and test, or validation if there is no test."""
    inputs: tuple[str, ...] | None = Field(None, examples=[["image"]])
    """The columns that become inputs of their names: numbers, lists of one length or images; by default all but the target."""
    target: str | None = Field(None, examples=["label"])
    """The column of targets; by default the one with class names, or `label`."""

    def source(self) -> HfFolder:
        """What reads it."""
        return HfFolder(**dict(self))


NESTED: dict[str, type[CsvConfig | WavConfig | HfConfig]] = {"csv": CsvConfig, "wav": WavConfig, "hf": HfConfig}
"""The formats whose settings are a mapping, by their key."""
