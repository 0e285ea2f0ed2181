"""Several teachers, teachers that are files, tasks without classes, and teachers that do not fit."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn

from artifacts.errors import ModelError
from compress.configs import DistilConfig, TeacherConfig, TrainConfig
from compress.distillation.distil import Network, Teacher, distillation_loss, distillation_objective, open_file
from compress.training.loop import Training, fit, tensors
from zoo.models import build


@pytest.fixture
def outputs():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(6, 4, generator=generator) * scale for scale in (1, 2, 20)]


@pytest.fixture
def value(fixed):
    """The loss of a student that gives these outputs, taught by (outputs, weight) of each teacher."""

    def of(student, teachers, targets=None, **options):
        all_teachers = [Teacher(Network(fixed(z)), w) for z, w in teachers]
        targets = torch.zeros(len(student)).long() if targets is None else targets
        return distillation_loss(all_teachers, 1.0, 4.0, **options)(
            fixed(student), {"x": torch.zeros(len(student), 1)}, targets
        ).item()

    return of


@pytest.mark.parametrize("weights", [(1.0, 1.0), (3.0, 1.0), (0.3, 0.9)])
def test_several_teachers_are_the_weighted_mean_of_their_probabilities(value, outputs, weights):
    student, *teachers = (z.double().numpy() / 4 for z in outputs)
    softened = [np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (student, *teachers)]
    q, p = softened[0], np.average(softened[1:], axis=0, weights=weights)
    by_hand = 16 * (p * np.log(p / q)).sum(1).mean()
    found = value(outputs[0], list(zip(outputs[1:], weights, strict=True)))
    assert found == pytest.approx(by_hand, rel=1e-4)
    mean_of_logits = value(outputs[0], [(sum(w * z for z, w in zip(outputs[1:], weights, strict=True)) / sum(weights), 1.0)])
    assert found != pytest.approx(mean_of_logits, rel=1e-2)


def test_one_teacher_named_twice_is_one_teacher(value, outputs):
    once = value(outputs[0], [(outputs[1], 1.0)])
    assert value(outputs[0], [(outputs[1], 0.2), (outputs[1], 5.0)]) == pytest.approx(once, rel=1e-5)


def test_values_of_several_teachers_are_averaged(value, outputs):
    student, first, second = outputs
    by_hand = F.mse_loss(student, 0.25 * first + 0.75 * second).item()
    assert value(student, [(first, 1.0), (second, 3.0)], targets=torch.zeros(6, 4)) == pytest.approx(by_hand, rel=1e-5)


def test_embeddings_are_compared_by_their_direction(value, outputs):
    student, first, second = outputs
    targets = torch.zeros(6, 4)
    assert value(student, [(student * 7, 1.0)], targets, output_loss="cosine") == pytest.approx(0, abs=1e-6)
    assert value(student, [(-student, 1.0)], targets, output_loss="cosine") == pytest.approx(2, abs=1e-5)
    wanted = F.normalize(first) + F.normalize(second)
    by_hand = (1 - (F.normalize(student) * F.normalize(wanted)).sum(1)).mean().item()
    assert value(student, [(first, 1.0), (second, 1.0)], targets, output_loss="cosine") == pytest.approx(by_hand, rel=1e-5)


def test_dense_outputs_are_averaged_over_their_positions(value, outputs):
    student, teacher = outputs[0], outputs[1]
    wide = [z[:, :, None, None].expand(6, 4, 3, 5).contiguous() for z in (student, teacher)]
    dense = value(wide[0], [(wide[1], 1.0)], targets=torch.zeros(6, 3, 5).long())
    assert dense == pytest.approx(value(student, [(teacher, 1.0)]), rel=1e-4)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One small network, and the same as ONNX (any batch, and a batch of three) and TorchScript."""
    folder = tmp_path_factory.mktemp("teachers")
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).eval()
    options = {"input_names": ["image"], "dynamo": False}
    torch.onnx.export(module, (torch.zeros(2, 1, 8, 8),), folder / "any.onnx", dynamic_axes={"image": {0: "batch"}}, **options)
    torch.onnx.export(module, (torch.zeros(3, 1, 8, 8),), folder / "three.onnx", **options)
    torch.onnx.export(module, (torch.zeros(2, 1, 8, 8),), folder / "other.onnx", input_names=["pixels"],
                      dynamic_axes={"pixels": {0: "batch"}}, dynamo=False)  # fmt: skip
    torch.jit.script(copy.deepcopy(module).train()).save(folder / "scripted.pt")
    torch.jit.freeze(torch.jit.script(module)).save(folder / "frozen.ts")
    return folder, module


@pytest.mark.parametrize("name", ["any.onnx", "three.onnx", "other.onnx", "scripted.pt", "frozen.ts"])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_a_file_teaches_what_its_network_teaches(files, digits, name, count):
    folder, module = files
    inputs, _ = tensors(digits.train, np.arange(count))
    with torch.no_grad():
        expected = module(inputs["image"])
    (found,) = open_file(folder / name).outputs(inputs).values()
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_student_learns_from_a_file(files, digits, tiny):
    folder, _ = files
    torch.manual_seed(0)
    student = build(tiny.ref)
    all_teachers = [Teacher(open_file(folder / "any.onnx")), Teacher(Network(tiny.module))]
    config = DistilConfig(epochs=1, samples=128, precision="bf16", kd_weight=1.0)
    example, _ = tensors(digits.train, np.arange(2))
    losses = []
    with distillation_objective(student, all_teachers, config, example, 0) as (loss, extra):
        training = Training(digits.train, config, 0, progress=lambda _, text: losses.append(text), extra=extra)
        fit(student, loss, training)
    assert len(losses) == 2


def test_files_that_cannot_teach_are_refused_in_one_sentence(files, tmp_path):
    folder, _ = files
    with pytest.raises(ModelError, match=r"no teacher file at .*anny\.onnx; did you mean 'any\.onnx'"):
        open_file(folder / "anny.onnx")
    with pytest.raises(ModelError, match="no teacher file at"):
        open_file(tmp_path / "nowhere" / "x.onnx")
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"a\.bin is neither ONNX nor TorchScript"):
        open_file(tmp_path / "a.bin")
    for name in ("broken.onnx", "broken.pt"):
        (tmp_path / name).write_bytes(b"no model")
        with pytest.raises(ModelError, match="cannot be opened as") as caught:
            open_file(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_file_that_takes_other_inputs_is_refused(files):
    runner = open_file(files[0] / "any.onnx")
    with pytest.raises(ModelError, match="takes 1 inputs; the task has 2"):
        runner.outputs({"a": torch.zeros(1, 1, 8, 8), "b": torch.zeros(1)})
    with pytest.raises(ModelError, match=r"any\.onnx refuses the task's inputs"):
        runner.outputs({"image": torch.zeros(1, 3, 8, 8)})


def test_a_teacher_of_other_classes_is_refused_before_training(digits, tiny):
    example, _ = tensors(digits.train, np.arange(2))
    hundred = nn.Sequential(nn.Flatten(), nn.Linear(64, 100))
    with (
        pytest.raises(ModelError, match=r"the teacher gives outputs of shape \(100,\) per example and the student \(10,\)"),
        distillation_objective(build(tiny.ref), hundred, DistilConfig(), example, 0),
    ):
        pass
    all_teachers = [Teacher(Network(tiny.module)), Teacher(Network(hundred))]
    with (
        pytest.raises(ModelError, match="teacher 2 gives"),
        distillation_objective(build(tiny.ref), all_teachers, DistilConfig(), example, 0),
    ):
        pass


def test_the_layers_of_a_file_cannot_be_read(files, digits, tiny):
    example, _ = tensors(digits.train, np.arange(2))
    config = DistilConfig(method="features", layers={"layer1": "layer1"})
    all_teachers = [Teacher(open_file(files[0] / "any.onnx")), Teacher(Network(tiny.module))]
    with (
        pytest.raises(ModelError, match="the first teacher, which is no network"),
        distillation_objective(tiny.module, all_teachers, config, example, 0),
    ):
        pass


def test_the_first_of_several_teachers_shows_its_layers_and_all_give_their_outputs(digits, tiny):
    example, targets = tensors(digits.train, np.arange(8))
    config = DistilConfig(method="features", layers={"layer1": "layer1"}, kd_weight=0.5)
    first, second = build(tiny.ref), build(tiny.ref)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.add_(0.1)
    alone = [Teacher(Network(first))]
    values = []
    for all_teachers in (alone, [*alone, Teacher(Network(second))]):
        student = copy.deepcopy(first).eval()
        with distillation_objective(student, all_teachers, config, example, 0) as (loss, _):
            values.append(loss(student, example, targets).item())
    # the student's layers are those of the first, so what is added is the second's outputs
    outputs = distillation_loss([*alone, Teacher(Network(second))], 0.5, config.temperature)
    assert values[1] == pytest.approx(outputs(first.eval(), example, targets).item(), rel=1e-5)
    assert values[1] > values[0]


def test_checking_the_teachers_does_not_touch_the_students_statistics(digits, tiny):
    student = build(tiny.ref).train()
    before = {k: v.clone() for k, v in student.state_dict().items()}
    with distillation_objective(student, tiny.module, DistilConfig(), tensors(digits.train, np.arange(2))[0], 0):
        pass
    assert student.training
    assert all(torch.equal(v, before[k]) for k, v in student.state_dict().items())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"teacher": {"zoo": "resnet"}, "teachers": ({"zoo": "resnet"},)}, "'teacher' or 'teachers', not both"),
        ({"layers": {"a": "b"}}, "'layers' belongs to method features or attention"),
        ({"feature_weight": 2.0}, "'feature_weight' belongs to method features or attention"),
        ({"method": "features"}, "method 'features' needs 'layers'"),
        (
            {"method": "attention", "layers": {"a": "b"}, "teacher": {"file": "x.onnx"}},
            "the first teacher, which must be a network",
        ),
        ({"teacher": {"file": "x.onnx", "zoo": "resnet"}}, "exactly one of 'zoo', 'factory', 'file' and 'original: true'"),
        ({"teacher": {"original": True, "zoo": "resnet"}}, "exactly one of 'zoo'"),
        (
            {"teacher": {"original": True, "depth": 8}},
            "a teacher 'original' holds its own network and weights: leave 'depth' out",
        ),
        ({"teacher": {"file": "x.onnx", "depth": 8}}, "leave 'depth' out"),
        ({"teachers": ({"zoo": "resnet", "weight": 0},)}, "greater than 0"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(options, sentence):
    with pytest.raises(ValidationError, match=sentence):
        DistilConfig.model_validate(options)


def test_what_is_said_of_a_teacher_is_no_option_of_its_builder():
    teacher = TeacherConfig.model_validate({"zoo": "resnet", "depth": 8, "weight": 2})
    assert teacher.network().options == {"depth": 8}
    assert DistilConfig(teacher=teacher).all_teachers == (teacher,)


def test_the_loop_does_not_take_a_teacher_for_a_part_of_the_network(digits):
    student = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    kept = teacher[1].weight.clone()
    fit(student, distillation_loss(teacher, 0.5, 4.0), Training(digits.train, TrainConfig(epochs=1, samples=64), 0))
    assert torch.equal(teacher[1].weight, kept)
    assert list(student.state_dict()) == ["1.weight", "1.bias"]
