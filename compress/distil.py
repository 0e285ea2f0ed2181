"""Knowledge distillation from softened outputs (Hinton et al. 2015, arXiv:1503.02531)."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from compress.loop import Inputs, Loss, first_output, task_loss, task_term


def frozen(module: nn.Module) -> nn.Module:
    """A copy for teaching: eval mode, no gradients; the caller's network is left as it is."""
    teacher = copy.deepcopy(module).eval()
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)
    return teacher


def distillation_term(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher ‖ student) of the outputs (N, classes) softened by T, averaged over the batch."""
    soft = F.log_softmax(teacher / temperature, dim=1)
    return F.kl_div(F.log_softmax(student / temperature, dim=1), soft, reduction="batchmean", log_target=True) * temperature**2


def distillation_loss(teacher: nn.Module, kd_weight: float, temperature: float, label_smoothing: float = 0.0) -> Loss:
    """kd_weight · distillation + (1 - kd_weight) · task loss; for real-valued targets the distillation term is the MSE.

    The teacher is copied and frozen. With kd_weight 0 no teacher is run.
    """
    if kd_weight == 0:
        return task_loss(label_smoothing)
    fixed = frozen(teacher)

    def loss(module: nn.Module, inputs: Inputs, targets: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = first_output(fixed, inputs)
        outputs = first_output(module, inputs)
        soft = F.mse_loss(outputs, wanted) if targets.is_floating_point() else distillation_term(outputs, wanted, temperature)
        return kd_weight * soft + (1 - kd_weight) * task_term(outputs, targets, label_smoothing)

    return loss
