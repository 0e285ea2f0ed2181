"""Folders of image files, one folder a class: in memory where they fit, else decoded as batches ask for them."""

from pathlib import Path

import numpy as np

from zoo.readers.columns import PARTS, FileColumn, class_folders
from zoo.readers.common import LOOKED_AT, image_task, statistics
from zoo.readers.pictures import read_picture
from zoo.splits import TaskData, held


def read_imagefolder(folder: Path) -> TaskData:
    """A folder with `train/CLASS/*` and `test/CLASS/*` images, all of one size, read as RGB.

    Raises:
        DataError: the layout is another one, a file is no image, or sizes differ. Where the images do not fit into memory a
            fixed draw of them is looked at, and the others as they are read.
    """
    found = class_folders(folder, "images")
    one = read_picture(folder / found.names["train"][0]).shape
    lazy = {part: FileColumn(folder, found.names[part], read_picture, one, np.dtype(np.uint8)) for part in PARTS}
    columns = {part: held(column) for part, column in lazy.items()}
    if columns["test"] is lazy["test"]:
        # a test image of another size is not to be found after the training
        lazy["test"].look_at(LOOKED_AT)
    train, test = ((columns[part], found.targets[part]) for part in PARTS)
    return image_task(folder.name, train, test, found.labels, statistics(columns["train"], 1 / 255))
