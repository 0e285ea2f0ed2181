"""A stand-alone script: opens a file by a loader whose code lies beside it, and holds what it makes against what is expected.

python alone.py FILE.json

Nothing of the packages whose code lies in `code/` is imported from anywhere else, as on a device that lacks them.
"""

import importlib
import importlib.machinery
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

CODE = Path(__file__).resolve().parent / "code"
NEEDS = ("artifacts.specs", "artifacts.types")
"""What this script imports of ours."""


class Here:
    """Finds the packages of `code/` there, or nowhere."""

    @staticmethod
    def find_spec(
        name: str, path: list[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        told = json.loads(Path(sys.argv[1]).read_text("utf-8"))
        if name.partition(".")[0] not in told["ours"]:
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path or [str(CODE)], target)
        if found is None:
            raise ModuleNotFoundError(f"{name} is not shipped with the loader; import it inside the function that needs it")
        return found


def main() -> str | None:
    """What is wrong; none if nothing is."""
    sys.meta_path.insert(0, Here())  # type: ignore[arg-type]  # a finder needs no more
    told = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    from artifacts.specs import Signature
    from artifacts.types import Engine

    where, _, name = told["loader"].partition(":")
    signature = Signature.from_json(told["signature"])
    engine = Engine(told["target"], Path(told["path"]), signature, told["options"])
    session = getattr(importlib.import_module(where), name)(engine, 1)
    fed, expected = (dict(np.load(told[key], allow_pickle=False)) for key in ("inputs", "expected"))
    count = signature.most(1)
    made = session.run({key: value[:count].copy() for key, value in fed.items()})
    for spec in signature.outputs:
        wanted = expected[spec.name][:count]
        if not np.allclose(made[spec.name], wanted, atol=1e-3 * float(expected[spec.name].std())):
            return f"{spec.name!r} is not what the network makes"
    return None


if __name__ == "__main__":
    wrong = main()
    print(json.dumps(wrong))
