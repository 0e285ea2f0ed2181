"""Prune in steps, fine-tuning after each with the incoming model as teacher; each finished step is kept on disk."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from artifacts.errors import ModelError, RequestError
from artifacts.files import staged
from artifacts.types import Arrays, Split, TorchModel
from compress import checkpoint
from compress.configs import PruneConfig
from compress.counting import count, count_all
from compress.criteria.preparing import minimizing
from compress.distillation.distil import finetuning_loss
from compress.pruning.details import Pruned, PruneDetails, step_of
from compress.pruning.nm import left_whole, mask_n_of_m, parse
from compress.pruning.regularize import penalty, regularized
from compress.pruning.schedules import progress_after
from compress.pruning.structured import cut_to, cuttable, rank, widths
from compress.pruning.unstructured import mask_to, masked, rewound, weight_scores
from compress.training.loop import Loss, Progress, Training, fit, silent, subset

RANKING_EXAMPLES = 256


@dataclass(frozen=True)
class _Work:
    """What every step of one pruning shares."""

    config: PruneConfig
    split: Split
    loss: Loss
    example: Arrays
    start: TorchModel
    costs: Mapping[str, float]
    """What the incoming model was measured at."""
    seed: int
    folder: Path | None
    progress: Progress
    not_cut: dict[str, str] = field(default_factory=dict)

    def kept(self, name: str, make: Callable[[], TorchModel]) -> TorchModel:
        """What a finished part left on disk; made, and kept there, if it is not yet finished."""
        done = self.folder / name if self.folder else None
        if done and done.is_dir():
            return checkpoint.load(done)
        model = make()
        if done:
            with staged(done) as folder:
                checkpoint.save(model, folder)
        return model

    def train(self, model: TorchModel, name: str, loss: Loss, epochs: int, seed: int, part: tuple[int, int]) -> TorchModel:
        """Train in place (the network is ours)."""
        # the cut itself is not kept: it is made again, the same, from the step before
        state = self.folder / f"{name}.state" if self.folder else None
        number, parts = part

        def progress(share: float, message: str) -> None:
            self.progress((number - 1 + share) / parts, f"{name} ({number}/{parts}) {message}")

        fit(model.module, loss, Training(self.split, self.config.training(epochs), seed, state, progress, model.masks))
        return model


def prune(
    model: TorchModel,
    config: PruneConfig,
    split: Split,
    *,
    seed: int,
    work: Path | None = None,
    progress: Progress = silent,
) -> Pruned[PruneDetails]:
    """Prune a copy of `model` until the measured goal of `config` is reached; `model` itself is left as it is.

    Channels (`macs`, `parameters`, `bytes`) are removed; weights (`sparsity`, `n_of_m`) are set to zero and masked. With
    `regularize` a training with a penalty comes first. With `rewind` every step trains, prunes and sets the weights that
    are left back to what they were when this stage began, and the last step's are trained once more.

    Raises:
        ModelError: the model cannot be traced, or the goal cannot be reached.
        RequestError: the config has no goal that this method knows.
    """
    if config.channel_goal is None and config.sparsity is None and config.n_of_m is None:
        raise RequestError("this method prunes to 'macs', 'parameters', 'bytes', 'sparsity' or 'n_of_m', and none is given.")
    example = split.batch(subset(split, 2, seed))[0]
    start, uncounted = count_all(model.module, example)
    if config.macs is not None and not start["macs"]:
        unknown = f" ({', '.join(uncounted)}: unknown)" if uncounted else ""
        raise ModelError(f"no MACs of the network are counted{unknown}, so no share of them can be kept; use 'parameters'.")
    loss = finetuning_loss(model.module, config)
    shared = _Work(config, split, loss, example, model, start, seed, work, progress)
    current, trace, extra = model, [], int(config.regularize is not None)
    parts = config.steps + extra + int(config.rewind)
    if config.regularize is not None:
        current = shared.kept("regularize", lambda: _regularize(shared, parts))
    for step in range(1, config.steps + 1):
        with minimizing(config.loss):
            current = _step(shared, current, step, (step + extra, parts))
        now = count(current.module, example)
        trace.append(step_of(step, now))
    if config.rewind:
        ticket, epochs, number = current, config.finetune_epochs, config.steps + 1
        current = shared.kept("ticket", lambda: shared.train(ticket, "ticket", loss, epochs, seed + number, (parts, parts)))
    _name_the_rest(shared, current)
    return Pruned(current, PruneDetails(trace, shared.not_cut, dict(widths(current.module))))


def _regularize(work: _Work, parts: int) -> TorchModel:
    config, fresh = work.config, masked(work.start, {})
    layers, _ = cuttable(fresh, work.example)
    term = penalty(str(config.regularize), fresh.module, layers, work.example)
    loss = regularized(work.loss, config.regularize_weight, term)
    return work.train(fresh, "regularize", loss, config.regularize_epochs, work.seed, (1, parts))


def _step(work: _Work, before: TorchModel, step: int, part: tuple[int, int]) -> TorchModel:
    config, seed, name = work.config, work.seed + step, f"step-{step}"

    def made() -> TorchModel:
        if config.rewind:
            trained = work.train(masked(before, {}), name, work.loss, config.finetune_epochs, seed, part)
            return rewound(work.start, _smaller(work, trained, step))
        return work.train(_smaller(work, before, step), name, work.loss, config.finetune_epochs, seed, part)

    return work.kept(name, made)


def _smaller(work: _Work, model: TorchModel, step: int) -> TorchModel:
    """A copy that is as small as it should be after this step."""
    config, split, seed = work.config, work.split, work.seed + step
    share = progress_after(step, config.steps, config.schedule)
    examples = subset(split, RANKING_EXAMPLES, work.seed)
    if config.channel_goal is not None:
        metric, wanted = config.channel_goal
        layers, refused = cuttable(model, work.example)
        groups = rank(model, layers, config, split, examples, seed)
        goal = work.costs[metric] * (1 - (1 - wanted) * share)
        return cut_to(model, groups, goal, config.align, work.example, metric=metric, not_cut=refused)
    if config.n_of_m is not None:
        n, m = parse(config.n_of_m)
        scores = weight_scores(model, config.criterion, seed, split, examples)
        return mask_n_of_m(model, scores, m - int((m - n) * share + 1e-9), m)
    local = config.ranking == "local"
    return mask_to(
        model, float(config.sparsity or 0) * share, config.criterion, seed, local=local, split=split, indices=examples
    )


def _name_the_rest(work: _Work, model: TorchModel) -> None:
    """Write down what could not be pruned, and why."""
    config = work.config
    if config.n_of_m is not None:
        work.not_cut.update(left_whole(model.module, parse(config.n_of_m)[1]))
    if config.channel_goal is None:
        return
    layers, refused = cuttable(model, work.example)
    work.not_cut.update(refused)
    ranked = rank(model, layers, config, work.split, subset(work.split, 2, work.seed), work.seed)
    reason = f"criterion '{config.criterion}' cannot rank it: no batch norm follows it"
    work.not_cut.update(dict.fromkeys(sorted(set(layers) - {g.layer for g in ranked}), reason))
