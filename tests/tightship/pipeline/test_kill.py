"""`kill -9` at any moment: the same command goes on, and ends with the same files as a run that nobody disturbed."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LONGER = """\
name: longer
seed: 0
model: {zoo: resnet, depth: 8, width: 8}
data: {zoo: digits}
train: {epochs: 10}
compress:
  - distil: {teacher: {zoo: resnet, depth: 8, width: 16}, epochs: 10}
  - prune: {macs: 0.7, steps: 2, finetune_epochs: 4}
  - quantize: {scheme: int8, calibration_samples: 64, qat_epochs: 4}
targets: [onnxruntime-cpu]
gates: {accuracy_drop: 1.0}
measure: {processes: 1, blocks: 1, block_seconds: 0.02}
"""


def digests(out):
    folder = out / "artifacts"
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


class Attempts:
    """Runs one command again and again in one folder, each time killed after a while or left to finish."""

    def __init__(self, recipe: Path, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        program = Path(sys.executable).with_name("tightship")
        self.command = [program, "run", recipe, "--store", folder / "store", "--out", folder / "out"]

    def run(self, kill_after: float | None = None) -> bool:
        """Whether the run finished; if it is still running after `kill_after` seconds, it and its children are killed."""
        log = self.folder / "log"
        with log.open("ab") as stream:
            process = subprocess.Popen(self.command, env=self.environment, stdout=stream, stderr=stream, start_new_session=True)
        try:
            code = process.wait(kill_after if kill_after is not None else 300)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
            if kill_after is None:
                pytest.fail(f"the run did not end within 300 s: {log.read_text()[-2000:]}")
            return False
        assert code == 0, log.read_text()[-2000:]
        return True


def leftovers(folder):
    halves = [p for p in (folder / "store" / "entries").glob("*/.*") if p.is_dir()]
    return [*halves, *(folder / "out").rglob(".*")]


@pytest.mark.slow
def test_two_kills_cost_nothing_but_time(tiny_run, tmp_path, environment):
    attempts = Attempts(tiny_run.recipe, tmp_path, environment())
    moments = random.Random(20)
    kills = 0
    for _ in range(2):
        kills += not attempts.run(moments.uniform(0.1, 0.6) * tiny_run.seconds)
    attempts.run()
    assert kills >= 1, "no run was killed, so nothing was shown"
    assert digests(tmp_path / "out") == digests(tiny_run.out)
    assert leftovers(tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_kills_spread_over_the_run_cost_nothing_but_time(tmp_path, environment):
    recipe = tmp_path / "longer.yaml"
    recipe.write_text(LONGER)
    (tmp_path / "calm").mkdir()
    calm = Attempts(recipe, tmp_path / "calm", environment())
    started = time.monotonic()
    assert calm.run()
    length = time.monotonic() - started
    wanted = digests(tmp_path / "calm" / "out")
    assert len(wanted) == 5

    # one moment in each twentieth of the run, in random order; a run that ends before its moment is checked and begun anew
    generator = random.Random(20)
    moments = [(i + generator.random()) / 20 * length for i in range(20)]
    generator.shuffle(moments)
    stormy = tmp_path / "stormy"
    stormy.mkdir()
    attempts = Attempts(recipe, stormy, environment())
    finished = 0
    for moment in moments:
        while attempts.run(moment):
            finished += 1
            assert digests(stormy / "out") == wanted
            shutil.rmtree(stormy)
            stormy.mkdir()
            if moment > 0.9 * length:
                break  # this machine is faster now than it was: the moment lies behind the end
    attempts.run()
    assert digests(stormy / "out") == wanted
    assert leftovers(stormy) == []
