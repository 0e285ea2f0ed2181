"""EndToEnd blocks leave, the network computes what it would with them bypassed, and what was chosen is what was measured."""

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.errors import ModelError
from artifacts.json import read
from artifacts.types import Cut, Drop, ModelRef, TorchModel
from compress import checkpoint
from compress.configs import PruneConfig
from compress.counting import macs
from compress.edits.cuts import Reader
from compress.pruning.details import BlockDetails
from compress.pruning.latency.blocks import removable, without
from compress.pruning.latency.output_divergence import OutputDivergence
from compress.pruning.latency.prune import prune_blocks
from compress.pruning.latency.selection import State
from compress.pruning.latency.table import group_equal, measure_table
from compress.pruning.structured import rank
from compress.training.loop import predict
from zoo.models import build, complete
from zoo.signatures import trace_signature


@pytest.fixture(scope="module")
def deep(digits):
    """Four blocks a stage, not trained."""
    torch.manual_seed(0)
    ref = complete(ModelRef("resnet", options={"depth": 20, "width": 8, "shortcut": "A"}), digits)
    module = build(ref)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.1, 1.5)
    return TorchModel(module.eval(), ref, trace_signature(module, digits))


@pytest.fixture(scope="module")
def example(digits):
    return digits.train.batch(np.arange(2))[0]


def fake_latency(models):
    """Every network costs a fixed share and what it multiplies."""
    image = {"image": np.zeros((2, 1, 8, 8), np.float32)}
    return [0.2 + 0.8 * macs(m.module, image) / 1_660_000 for m in models]


class TestRemovable:
    def test_blocks_that_keep_the_shape(self, deep, example):
        blocks, refused = removable(deep.module, example)
        assert blocks == ["layer1.0", "layer1.1", "layer1.2", "layer2.1", "layer2.2", "layer3.1", "layer3.2"]
        assert set(refused) == {"layer2.0", "layer3.0"}
        assert "turns (8, 8, 8) into (16, 4, 4)" in refused["layer2.0"]

    def test_a_pair_of_lower_rank_is_no_block(self, deep, digits, example):
        from compress.configs import FactorizeConfig
        from compress.factorization.factorize import factorize

        config = FactorizeConfig(rank_share=0.4, finetune_epochs=0)
        split = factorize(deep, config, digits.train, seed=0).model
        assert any(isinstance(m, nn.Sequential) and len(m) == 2 for m in split.module.layer3[1].children())
        assert removable(split.module, example)[0] == removable(deep.module, example)[0]

    def test_blocks_of_a_transformer(self, example):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
                self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
                self.head = nn.Linear(8, 10)

            def forward(self, image):
                return self.head(self.encoder(image[:, 0]).mean(1))

        torch.manual_seed(0)
        blocks, _ = removable(Net().eval(), example)
        # the encoder hands its layers more than one argument, so they are taken as one
        assert blocks == ["encoder"] or blocks == [f"encoder.layers.{i}" for i in range(3)]

    def test_a_block_that_is_run_twice_stays(self, example):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.blocks = nn.ModuleList([nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU()) for _ in range(2)])
                self.head = nn.Linear(64, 10)

            def forward(self, image):
                x = self.blocks[0](self.blocks[1](self.blocks[0](image)))
                return self.head(x.flatten(1))

        blocks, refused = removable(Net(), example)
        assert blocks == ["blocks.1"]
        assert refused == {"blocks.0": "it is run 2 times"}

    def test_the_network_is_left_as_it_is(self, deep, digits, example):
        before = predict(deep.module, digits.test)
        with without(deep.module, ["layer1.1", "layer2.2"], {"x": [Reader(deep.module.layer3[1].conv2, [0, 1])]}):
            assert not np.allclose(predict(deep.module, digits.test), before)
        assert np.array_equal(predict(deep.module, digits.test), before)


class TestDamage:
    def test_what_is_applied_computes_what_was_judged(self, deep, digits, example):
        groups = rank(deep, ["layer1.0.conv1", "layer3.1.conv1"], PruneConfig(macs=0.5), digits.train, np.arange(64), 0)
        divergence = OutputDivergence(deep, digits.train, groups, 0)
        state = State(frozenset({"layer2.1"}), frozenset({("layer3.1.conv1", 16)}))
        made = divergence.apply(state, example)
        assert made.edits[-1] == Drop("layer2.1")
        assert made.module.get_submodule("layer3.1.conv1").out_channels == 16
        assert divergence.of(made.module) == pytest.approx(divergence(state), rel=1e-3)
        assert divergence(State()) == pytest.approx(0, abs=1e-7)
        assert divergence(state) > 0.01

    def test_the_channels_that_leave_are_those_that_score_least(self, deep, digits):
        groups = rank(deep, ["layer3.1.conv1"], PruneConfig(macs=0.5), digits.train, np.arange(64), 0)
        cut = OutputDivergence(deep, digits.train, groups, 0).cuts(State(widths=frozenset({("layer3.1.conv1", 24)})))[0]
        assert set(cut.channels) == set(np.argsort(groups[0].scores)[:8].tolist())


class TestStored:
    def test_blocks_and_cuts_are_replayed(self, deep, digits, example, tmp_path):
        made = OutputDivergence(deep, digits.train, [], 0).apply(State(frozenset({"layer1.2", "layer3.2"})), example)
        checkpoint.save(made, tmp_path)
        again = checkpoint.load(tmp_path)
        assert again.edits == made.edits
        assert np.array_equal(predict(again.module, digits.test), predict(made.module, digits.test))

    def test_a_cut_after_a_drop(self, deep, digits, example, tmp_path):
        from compress.pruning.structured import with_cuts

        dropped = OutputDivergence(deep, digits.train, [], 0).apply(State(frozenset({"layer1.2"})), example)
        made = with_cuts(dropped, [Cut("layer1.1.conv1", True, (0, 3))], example)
        checkpoint.save(made, tmp_path)
        again = checkpoint.load(tmp_path)
        assert again.module.layer1[1].conv1.out_channels == 6
        assert np.allclose(predict(again.module, digits.test), predict(made.module, digits.test))


class TestTable:
    def test_what_is_alike_is_measured_once(self, deep, example):
        blocks, _ = removable(deep.module, example)
        kinds = group_equal(deep, blocks, example)
        assert [len(kind) for kind in kinds] == [3, 2, 2]

    def test_widths_that_are_no_faster_are_no_option(self, deep, digits, example):
        groups = rank(deep, ["layer3.1.conv1"], PruneConfig(macs=0.5), digits.train, np.arange(64), 0)

        def relative(models):
            widths = [m.module.get_submodule("layer3.1.conv1").out_channels for m in models]
            return [{32: 1.0, 24: 0.98, 16: 0.99, 8: 0.9}[w] for w in widths]

        table = measure_table(deep, [], groups, 8, example, relative)
        assert table.widths == {"layer3.1.conv1": {24: pytest.approx(0.02), 8: pytest.approx(0.1)}}


class TestPruneBlocks:
    def test_so_many_blocks_are_kept(self, deep, digits):
        config = PruneConfig(blocks=3, finetune_epochs=0)
        made = prune_blocks(deep, config, digits.train, seed=0)
        assert len(made.details.kept_blocks) == 3
        assert sum(isinstance(m, nn.Identity) for m in made.model.module.modules()) == 4
        assert not any(isinstance(m, nn.Identity) for m in deep.module.modules())

    def test_more_blocks_than_there_are(self, deep, digits):
        with pytest.raises(ModelError, match="blocks 7 is not fewer than the 7"):
            prune_blocks(deep, PruneConfig(blocks=7), digits.train, seed=0)

    @pytest.mark.parametrize("starting_candidates", [1, 4])
    def test_the_limit_holds_as_measured(self, deep, digits, starting_candidates):
        config = PruneConfig(
            latency=0.6,
            target="onnxruntime-cpu",
            finetune_epochs=0,
            candidates=starting_candidates,
            candidate_samples=64,
            criterion="magnitude",
        )
        made = prune_blocks(deep, config, digits.train, seed=0, relative=fake_latency)
        assert fake_latency([made.model])[0] <= 0.6
        assert made.details.tries
        assert read(BlockDetails, json.loads(json.dumps(made.details.as_json()))) == made.details

    def test_a_limit_that_cannot_be_reached(self, deep, digits):
        config = PruneConfig(latency=0.2, target="onnxruntime-cpu", finetune_epochs=0)
        with pytest.raises(ModelError, match=r"cannot reach 0\.2 of the latency on onnxruntime-cpu"):
            prune_blocks(deep, config, digits.train, seed=0, relative=fake_latency)

    def test_a_choice_that_was_too_slow_is_made_again(self, deep, digits):
        """The whole network costs more than the table adds up to: the limit is tightened until the measurement agrees."""
        seen = []

        def slower(models):
            if len(models) > 1:
                return fake_latency(models)
            seen.append(models[0])
            return [0.8 if len(seen) == 1 else fake_latency(models)[0]]

        config = PruneConfig(latency=0.65, target="onnxruntime-cpu", finetune_epochs=0)
        made = prune_blocks(deep, config, digits.train, seed=0, relative=slower)
        assert len(made.details.tries) == len(seen) > 1
        assert made.details.tries[1].by_table < made.details.tries[0].by_table
        assert made.details.tries[-1].measured <= 0.65 < made.details.tries[0].measured

    def test_a_run_that_was_killed_goes_on(self, deep, digits, tmp_path):
        config = PruneConfig(blocks=4, finetune_epochs=1, samples=256, batch_size=32)
        whole = prune_blocks(deep, config, digits.train, seed=0)

        class Killed(Exception):
            pass

        def kill(share, message):
            if share > 0.7:
                raise Killed

        with pytest.raises(Killed):
            prune_blocks(deep, config, digits.train, seed=0, work=tmp_path, progress=kill)
        again = prune_blocks(deep, config, digits.train, seed=0, work=tmp_path)
        assert again.details == whole.details
        assert list(again.details.as_json()) == ["not_removed", "tries", "kept_blocks", "steps", "widths"]
        for name, tensor in whole.model.module.state_dict().items():
            assert torch.equal(tensor, again.model.module.state_dict()[name])

    def test_the_callers_model_is_left(self, deep, digits):
        before = copy.deepcopy(deep.module.state_dict())
        prune_blocks(deep, PruneConfig(blocks=4, finetune_epochs=1, samples=128), digits.train, seed=0)
        assert all(torch.equal(v, before[k]) for k, v in deep.module.state_dict().items())
