"""Benchmark any set of exported files with pytest-benchmark's own storage, one process per file.

pytest benchmarks/suites/test_artifacts.py --artifact a.onnx --artifact b.onnx --benchmark-autosave
pytest benchmarks/suites/test_artifacts.py --artifact a.onnx --benchmark-compare
"""

from artifacts.arrays import save_arrays
from benchmarks.process.child import Child
from tightship.benching.bench import engine_of, synthesise


def test_latency(artifact, benchmark, tmp_path):
    engine = engine_of(artifact, None, None)
    first = tmp_path / "one.npz"
    save_arrays(first, synthesise(engine.signature))
    with Child(engine, tmp_path / "child.log") as child:
        child.open(first)
        child.warm(first, 0.2)
        calls = 50
        # timed inside the child, so that the pipe between the processes is not part of it
        timed = []

        def block():
            timed.extend(child.block(first, 0.0, calls).ns)

        benchmark.pedantic(block, rounds=20, iterations=1)
    timed.sort()
    benchmark.extra_info["p50_ms"] = timed[len(timed) // 2] / 1e6
    benchmark.extra_info["calls_per_round"] = calls
    assert len(timed) == 20 * calls
