"""OpenVINO on the CPU."""

from runtimes.target import Target

TARGETS = (
    Target(
        "openvino-cpu",
        "runtimes.openvino.runtime:OpenVinoCpu",
        ("openvino",),
        "nncf",
        ("openvino", "nncf"),
        runs_with=("openvino",),
        extra="openvino",
        qat=True,
        schemes={"fp16": "openvino-half", "bf16": "openvino-half"},
        options="runtimes.openvino.options:OpenVinoOptions",
        loader="runtimes.openvino.loader:OpenVinoProgram",
    ),
)
