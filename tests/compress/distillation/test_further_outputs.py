"""A head without targets keeps what it gave when the network is compressed."""

import numpy as np
import torch
from torch import nn

from artifacts.types import ModelRef, TorchModel
from compress.configs import PruneConfig, TrainConfig
from compress.distillation.distil import distillation_loss
from compress.distillation.further_outputs import further
from compress.pruning.steps import prune
from compress.training.loop import Training, fit, predict_all, task_loss
from zoo.signatures import trace_signature


class Heads(nn.Module):
    """Class scores, and a smooth figure of the picture that nobody has labels for."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.classes, self.figure = nn.Linear(64, 10), nn.Linear(64, 4)

    def forward(self, image):
        features = self.body(image)
        return {"classes": self.classes(features), "figure": self.figure(features)}


def apart(model, digits, before):
    found = predict_all(model, digits.test)["figure"]
    return float(np.sqrt(((found - before) ** 2).mean()) / before.std())


def test_a_second_head_follows_the_network_as_it_came(digits):
    torch.manual_seed(0)
    module = Heads()
    fit(module, task_loss(), Training(digits.train, TrainConfig(epochs=3), 0))
    before = predict_all(module, digits.test)["figure"]
    model = TorchModel(module.eval(), ModelRef(), trace_signature(module, digits))
    config = PruneConfig(sparsity=0.7, steps=1, finetune_epochs=3)
    kept = prune(model, config, digits.train, seed=0).model.module
    alone = prune(model, config.model_copy(update={"kd_weight": 0.0}), digits.train, seed=0).model.module
    assert apart(kept, digits, before) < 0.5 * apart(alone, digits, before)


def test_networks_of_one_output_are_trained_as_before():
    one = {"output": torch.randn(4, 3)}
    assert further(one, one, list(one)) == 0
    teacher = nn.Linear(3, 2)
    loss = distillation_loss(teacher, 1.0, 4.0)
    value = loss(nn.Linear(3, 2), {"input": torch.randn(4, 3)}, torch.tensor([0, 1, 0, 1]))
    assert value > 0


def test_whole_numbers_other_shapes_and_names_are_left_out_and_a_constant_is_no_reason_to_divide_by_zero():
    first, same = torch.randn(4, 3), torch.ones(4, 2)
    student = {"a": first, "b": torch.arange(4), "c": torch.randn(4, 5), "d": torch.randn(4), "e": same}
    assert further(student, {"a": first + 1, "b": torch.arange(4), "c": torch.randn(4, 6), "e": same}, {"a"}) == 0
