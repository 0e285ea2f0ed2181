"""Energy by the kernel's counters, from folders laid out as the kernel lays them out."""

import os
import threading
import time

import numpy as np
import pytest

from artifacts.records.calls import PowerRecord, PowerSource
from benchmarks.process.answers import Timed
from benchmarks.process.stopwatch import Block
from benchmarks.timing.energy import Meter, Rapl, Reading, says
from benchmarks.timing.measure import Measured, MeasurePlan, measure
from benchmarks.timing.rounds import energy_mj
from tightship.pipeline.stages.measuring.energy import energy_of

PLAN = MeasurePlan(processes=2, blocks=2, block_seconds=0.1, block_calls=4, warm_seconds=0.0, throughput_batch=2)


@pytest.fixture
def domain(tmp_path):
    """Makes a powercap folder of a domain."""

    def make(folder="intel-rapl:0", name="package-0", microjoules=0, most=262_143_328_850):
        place = tmp_path / "powercap" / folder
        place.mkdir(parents=True, exist_ok=True)
        for file, value in (("name", name), ("max_energy_range_uj", most), ("energy_uj", microjoules)):
            (place / file).write_text(f"{value}\n")
        return place

    return make


def count(place, microjoules):
    """Let the counter stand there; whole or not at all, as the kernel's is read."""
    (place / "next").write_text(f"{microjoules}\n")
    os.replace(place / "next", place / "energy_uj")


def test_a_counter_counts_from_where_it_was_found(domain):
    place = domain(microjoules=5_000_000)
    counter = Rapl(place)
    assert counter.joules() == 0
    count(place, 7_500_000)
    assert counter.joules() == pytest.approx(2.5)
    assert counter.name == "RAPL package-0"


def test_a_counter_that_comes_round_goes_on(domain):
    place = domain(microjoules=9_000_000, most=10_000_000)
    counter = Rapl(place)
    for microjoules, joules in ((9_900_000, 0.9), (400_000, 1.4), (9_000_000, 10.0), (0, 11.0)):
        count(place, microjoules)
        assert counter.joules() == pytest.approx(joules)


def test_a_part_is_not_counted_twice(domain):
    domain("intel-rapl:0")
    domain("intel-rapl:0:0", "core")
    domain("intel-rapl:0:1", "dram")
    domain("intel-rapl:1", "psys")
    powercap = domain("intel-rapl-mmio:0").parent
    assert [c.name for c in Meter.find(powercap).counters if c.device == "cpu"] == ["RAPL package-0", "RAPL dram"]


def test_why_nothing_can_be_read_is_said(domain, tmp_path):
    readable, said = says(Meter.find(tmp_path / "nowhere"))
    assert not readable
    assert said.startswith(f"not available: no RAPL counter under {tmp_path / 'nowhere'}")
    place = domain()
    (place / "energy_uj").write_text("nothing\n")
    assert "cannot be read" in says(Meter.find(place.parent))[1]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become one who may not read")
def test_a_counter_for_root_alone_is_said_to_be_one(domain, tmp_path):
    place = domain()
    (place / "energy_uj").chmod(0o400)
    for folder in (place, place.parent, *tmp_path.parents[:2], tmp_path):
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        if not os.access(place / "name", os.R_OK, effective_ids=True):
            pytest.skip("the folder of the tests is closed to others")
        said = says(Meter.find(place.parent))[1]
    finally:
        os.seteuid(0)
    assert "may only be read by root" in said


def test_a_gpu_counts_for_its_own_engines_only_and_the_cpu_for_all(domain):
    class Gpu(Rapl):
        device = "cuda"

    cpu, gpu = domain("intel-rapl:0"), domain("intel-rapl:1")
    meter = Meter([Rapl(cpu), Gpu(gpu)], None)
    begun = Reading(time.monotonic() - 2.0, (0.0, 0.0))
    count(cpu, 20_000_000)
    count(gpu, 200_000_000)
    assert meter.watts(begun, "cpu") == pytest.approx(10, rel=0.05)
    assert meter.watts(begun, "cuda") == pytest.approx(110, rel=0.05)
    assert Meter([], "no reason").watts(Reading(0.0, ()), "cpu") is None


def test_energy_is_power_times_latency():
    seen = Block(1, 1, None, 0, 1)
    assert energy_mj([Timed([1_000_000] * 3, seen, 20.0), Timed([1_000_000], seen, 40.0)]) == pytest.approx(25.0)
    assert energy_mj([Timed([1], seen, 20.0), Timed([1], seen, None)]) is None


def test_idle_power_is_taken_off_and_a_counter_that_stood_still_says_nothing():
    power = PowerRecord((PowerSource("RAPL package-0", "cpu", 4.0), PowerSource("NVML a", "cuda", 50.0)), None)
    one = Measured(rounds_ms=[[2.0, 2.0], [2.0]], energy_mj=[20.0, 22.0])
    found = energy_of(one, power, "onnxruntime-cpu")
    assert (found.mj, found.above_idle_mj, found.watts) == (pytest.approx(21), pytest.approx(13), pytest.approx(10.5))
    assert found.ci95[0] < 21 < found.ci95[1]
    assert found.sources == ("RAPL package-0",)
    assert energy_of(Measured(rounds_ms=[[2.0]], energy_mj=[0.0]), power, "onnxruntime-cpu") is None
    assert energy_of(Measured(rounds_ms=[[2.0]]), power, "onnxruntime-cpu") is None


def test_a_measurement_reads_the_counters_around_each_block(domain, onnx_engine, tmp_path):
    place = domain(most=3_000_000)
    stop, watts = threading.Event(), 10.0

    def run_down():
        begun = time.monotonic()
        while not stop.wait(0.002):
            count(place, int((time.monotonic() - begun) * watts * 1e6) % 3_000_000)

    ticking = threading.Thread(target=run_down)
    ticking.start()
    try:
        meter = Meter([Rapl(place)], None)
        meter.look_first(0.2)
        inputs = {"x": np.zeros((4, 3), np.float32)}
        found = measure({"a": onnx_engine()}, inputs, PLAN, tmp_path / "work", meter=meter)["a"]
    finally:
        stop.set()
        ticking.join()
    assert len(found.energy_mj) == 2
    record = energy_of(found, meter.record(), "onnxruntime-cpu")
    # the machine that is made up takes 10 W whatever is done; late ticks on a busy one shift some of that between blocks
    assert record.watts == pytest.approx(watts, rel=0.5)
    assert meter.idle_w[0] == pytest.approx(watts, rel=0.5)
    assert record.mj == pytest.approx(record.watts * np.mean(found.samples))
