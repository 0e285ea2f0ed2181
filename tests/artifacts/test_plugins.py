"""A registry holds our own records and those of other distributions, and a broken plug-in breaks nothing else."""

import sys
from dataclasses import dataclass
from textwrap import dedent

import pytest

from artifacts.errors import RequestError
from artifacts.plugins import Registry

GROUP = "tightship.toys"


@dataclass(frozen=True)
class Toy:
    name: str
    api: int = 1


@pytest.fixture
def registry():
    sys.modules["toys_of_the_test"] = sys.modules[__name__]
    yield Registry("toy", GROUP, Toy, ["toys_of_the_test:OWN", Toy("ball")])
    del sys.modules["toys_of_the_test"]


OWN = (Toy("train"), Toy("kite"))


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution on the path as pip would: a module, and metadata with its entry points."""
    monkeypatch.syspath_prepend(tmp_path)

    def installed(points, module="", name="toy_maker"):
        (tmp_path / f"{name}.py").write_text("from toys_of_the_test import Toy\n" + dedent(module))
        info = tmp_path / f"{name}-2.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.5\n")
        lines = "\n".join(f"{key} = {value}" for key, value in points.items())
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}\n")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return installed


def test_our_own_come_first_and_in_order(registry, install):
    install({"drum": "toy_maker:TOY"}, "TOY = Toy('drum')")
    assert list(registry) == ["train", "kite", "ball", "drum"]
    assert registry.find("kite") is OWN[1]
    assert registry.origin("kite") is None
    assert registry.origin("drum") == "toy_maker"
    assert len(registry) == 4
    assert "drum" in registry.keys() & {"drum"}


def test_a_plug_in_is_loaded_when_it_is_named_and_not_before(registry, install):
    name = install({"drum": "toy_maker:TOY"}, "TOY = Toy('drum')")
    install({"doll": "doll_maker:TOY"}, "raise SystemExit('no dolls here')", "doll_maker")
    assert registry.find("train").name == "train"
    assert name not in sys.modules
    assert registry.find("drum").name == "drum"
    assert "doll_maker" not in sys.modules
    assert registry.own().keys() == {"train", "kite", "ball"}


def test_one_entry_point_may_bring_several(registry, install):
    install({"drum": "toy_maker:TOYS"}, "TOYS = (Toy('drum'), Toy('flute'))")
    assert registry.find("flute").name == "flute"
    assert "drum" in registry


def test_an_unknown_name_gets_the_nearest(registry):
    with pytest.raises(RequestError, match="unknown toy 'trian'; did you mean 'train'"):
        registry.find("trian")
    assert registry.get("trian") is None
    with pytest.raises(KeyError):
        registry["trian"]


BROKEN = {
    "raise ImportError('no such thing\\nand more')": r"toy_maker:TOY cannot be loaded \(ImportError: no such thing\)\.$",
    "import sys; sys.exit(3)": r"cannot be loaded \(SystemExit: 3\)\.$",
    "NOTHING = 1": r"cannot be loaded \(AttributeError: ",
    "TOY = Toy('drum', api=2)": "'drum' was written for version 2 of the toy interface, and this is version 1",
    "TOY = Toy('kite')": "there is a toy 'kite' already: give it another name",
    "TOY = 'drum'": "it names a str, and tightship.toys takes a Toy",
    "TOY = (Toy('bell'), Toy('drum', 9))": "'drum' was written for version 9",
}


@pytest.mark.parametrize("module", BROKEN)
def test_a_plug_in_that_cannot_be_used_is_one_sentence_and_breaks_nothing(registry, install, module):
    install({"drum": "toy_maker:TOY"}, module)
    install({"doll": "doll_maker:TOY"}, "TOY = Toy('doll')", "doll_maker")
    with pytest.raises(RequestError, match=f"toy 'drum' of toy_maker 2.5 cannot be used: .*{BROKEN[module]}"):
        registry.find("drum")
    assert list(registry) == ["train", "kite", "ball", "doll"]
    (failure,) = registry.failures()
    assert (failure.name, failure.distribution) == ("drum", "toy_maker 2.5")
    assert "\n" not in failure.reason


def test_two_distributions_that_bring_one_name(registry, install):
    install({"drum": "toy_maker:TOY"}, "TOY = Toy('drum')")
    install({"drum": "doll_maker:TOY"}, "TOY = Toy('drum')", "doll_maker")
    assert registry.find("drum").name == "drum"
    assert [f.reason for f in registry.failures()] == ["there is a toy 'drum' already: give it another name."]


def test_a_record_of_this_process(registry):
    registry.add(Toy("top"))
    assert registry.find("top").name == "top"
    with pytest.raises(RequestError, match="there is a toy 'top' already"):
        registry.add(Toy("top"))
    with pytest.raises(RequestError, match="there is a toy 'kite' already"):
        registry.add(Toy("kite"))


def test_a_broken_list_of_our_own_is_our_mistake():
    with pytest.raises(ModuleNotFoundError):
        list(Registry("toy", GROUP, Toy, ["no_such_module:TOYS"]))
