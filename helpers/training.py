"""One training loop for the whole course: progress, averaged weights, checkpoint and resume."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

CHECKPOINT_EVERY = 500  # steps; a killed run loses at most these
WARMUP, DECAY = 0.02, 0.5  # shares of the budget in which the learning rate rises and falls
BETAS = (0.9, 0.95)  # of Adam, as is usual for transformers
BAR = "{desc}: |{bar}| {percentage:3.0f}% [{elapsed}<{remaining}{postfix}]"


def train(
    model: nn.Module,
    loss: Callable[[nn.Module, torch.Generator], Tensor],
    rng: torch.Generator,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    lr: float = 2e-3,
    muon_lr: float | None = None,
    part_lr: Mapping[str, float] | None = None,
    betas: tuple[float, float] = BETAS,
    ema_decay: float = 0.999,
    bfloat16: bool = False,
    checkpoint: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> list[float]:
    """Minimise ``loss``, with a learning rate that rises, stays and falls; leave the averaged weights in ``model``.

    A learner who has waited long enough may interrupt the kernel: a training without a checkpoint ends there, with what
    it has learned so far, and the notebook goes on. A measurement by another clock than the one on the wall, and a run
    that can go on from its checkpoint, are ended by an interrupt.

    Args:
        model: is changed in place.
        loss: makes a batch with the given generator and returns a scalar, ``loss(model, rng)``.
        rng: the source of randomness of the batches.
        steps: the budget in steps: the same seed gives the same weights, up to rounding on another machine. Lessons
            take this one; the bar shows the time that is left.
        seconds: the budget in seconds instead, for comparisons: the machine decides how many steps that is.
        lr: the highest learning rate of Adam (Kingma and Ba 2015).
        muon_lr: if given, the weights of linear and convolutional layers are trained by Muon at this learning rate
            (Jordan 2024), which gives every step the same length in all directions; all else by Adam.
        part_lr: learning rates of Adam for parts of the model, by attribute, where another than ``lr`` is wanted: two
            players of a game may learn at different paces.
        betas: of Adam: how much of the past gradient and of its past size goes into a step.
        ema_decay: weight of the past in the exponential moving average of the weights.
        bfloat16: compute products of matrices and convolutions in 16 bits, all else and the weights in 32. Up to twice
            as fast on a processor made for it; slower on one that is not.
        checkpoint: a file. The state is stored there now and then, and a run that finds it goes on from it; with a
            budget in steps it ends with the same weights as an unbroken one. It is removed at the end.
        clock: of the budget in seconds. With ``time.process_time`` only work counts: a busy neighbour takes nothing.

    Returns:
        The loss at every step.

    Raises:
        ValueError: no budget or two; or the checkpoint belongs to another model or another budget.
        FloatingPointError: the loss is not a number any more.
    """
    if (steps is None) == (seconds is None):
        raise ValueError("give a budget, either steps=... or seconds=...")
    optimizers = optimizers_of(model, lr, muon_lr, part_lr or {}, betas)
    device = next(model.parameters()).device.type
    highest = [group["lr"] for group in _groups(optimizers)]
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema_decay), use_buffers=True)
    parts = {"model": model, "average": average} | {type(o).__name__: o for o in optimizers}
    budget = {"steps": steps, "seconds": seconds}
    losses, before = _resume(checkpoint, parts, rng, budget) if checkpoint else ([], 0.0)
    begun = len(losses) / steps if steps else before / seconds
    start = clock() - before
    model.train()
    watched = checkpoint is None and clock is time.monotonic
    with (
        _may_be_cut_short(losses, watched),
        # miniters: left to itself, tqdm takes the pace of the first update for the usual one, and then hardly moves.
        tqdm(
            total=1.0, initial=begun, desc="training", leave=False, mininterval=0.5, miniters=0, bar_format=BAR
        ) as bar,
    ):
        while (done := len(losses) / steps if steps else (clock() - start) / seconds) < 1:
            for group, peak in zip(_groups(optimizers), highest, strict=True):
                group["lr"] = peak * schedule(done)
            with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
                value = loss(model, rng)
            if not torch.isfinite(value):
                raise FloatingPointError(f"the loss is {value.item()} at step {len(losses)}; try a lower lr than {lr}")
            for optimizer in optimizers:
                optimizer.zero_grad()
            value.backward()
            for optimizer in optimizers:
                optimizer.step()
            average.update_parameters(model)
            losses.append(value.item())
            if len(losses) % 20 == 0 or len(losses) == 1:
                bar.set_postfix_str(
                    f"step {len(losses)}, loss {sum(losses[-20:]) / len(losses[-20:]):.3g}", refresh=False
                )
                bar.update(done - bar.n)
            if checkpoint and len(losses) % CHECKPOINT_EVERY == 0:
                _store(checkpoint, parts, rng, losses, budget, clock() - start)
    model.load_state_dict(average.module.state_dict())
    model.eval()
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    return losses


@contextlib.contextmanager
def _may_be_cut_short(losses: list[float], watched: bool) -> Iterator[None]:
    """Takes an interrupt for the end of a training that somebody watches, if it has learned anything."""
    try:
        yield
    except KeyboardInterrupt:
        if not watched or not losses:
            raise
        print(f"interrupted after {len(losses)} steps")


class Muon(torch.optim.Optimizer):
    """Steps of the same length in all directions, for the weights of linear and convolutional layers (Jordan 2024).

    Torch's own Muon computes in bfloat16, which takes twenty times as long on a processor that is not made for it. This
    one computes in the type of the weights. A kernel of a convolution is a matrix with a row for each channel it makes.

    Args:
        weights: each of two or more dimensions.
        lr: learning rate.
        momentum: weight of the past in the running mean of the gradients.
    """

    def __init__(self, weights: Sequence[nn.Parameter], lr: float, momentum: float = 0.95):
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        """One step along the gradients of the weights."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                mean = state.setdefault("momentum_buffer", torch.zeros_like(weight))
                mean.lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(mean, group["momentum"])  # Nesterov's look ahead
                direction = orthogonalised(ahead.flatten(1))
                rows, columns = direction.shape
                scale = max(1, rows / columns) ** 0.5
                weight.sub_(direction.view_as(weight), alpha=group["lr"] * scale)


def orthogonalised(matrix: Tensor, steps: int = 5) -> Tensor:
    """The matrix with its singular values brought near to 1, most between 0.7 and 1.2, by the Newton-Schulz iteration.

    Args:
        matrix: ``(rows, columns)``, not zero.
        steps: of the iteration ``x <- a x + (b xx' + c (xx')^2) x``, whose numbers are Jordan's (2024).
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.mT if tall else matrix) / matrix.norm().clamp(min=1e-7)  # no singular value is above 1
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def optimizers_of(
    model: nn.Module,
    lr: float,
    muon_lr: float | None,
    part_lr: Mapping[str, float],
    betas: tuple[float, float] = BETAS,
) -> list[torch.optim.Optimizer]:
    """Muon for the weights of linear and convolutional layers, if ``muon_lr`` is not None or 0, and Adam for the rest.

    The arguments are those of ``train``. The weights must be on the device where they will be trained.
    """
    layers = [module for module in model.modules() if muon_lr and isinstance(module, (nn.Linear, nn.Conv2d))]
    weights = [layer.weight for layer in layers]
    done = {id(weight) for weight in weights}
    groups = []
    for part, rate in [*part_lr.items(), (None, lr)]:
        module = getattr(model, part) if part else model
        parameters = [parameter for parameter in module.parameters() if id(parameter) not in done]
        done |= {id(parameter) for parameter in parameters}
        groups.append({"params": parameters, "lr": rate})
    adam = torch.optim.Adam([group for group in groups if group["params"]], betas=betas, fused=True)
    return [Muon(weights, muon_lr), adam] if muon_lr else [adam]


def _groups(optimizers: list[torch.optim.Optimizer]) -> list[dict]:
    return [group for optimizer in optimizers for group in optimizer.param_groups]


def schedule(done: float) -> float:
    """The share of the highest learning rate after a share ``done`` of the budget: up, level, and down in the end."""
    return min(1.0, done / WARMUP + 0.01, (1 - done) / DECAY)


def _store(
    checkpoint: Path, parts: dict, rng: torch.Generator, losses: list[float], budget: dict, elapsed: float
) -> None:
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    state = {name: part.state_dict() for name, part in parts.items()}
    partial = checkpoint.with_suffix(".partial")
    torch.save({**state, "rng": rng.get_state(), "losses": losses, "budget": budget, "elapsed": elapsed}, partial)
    os.replace(partial, checkpoint)


def _resume(checkpoint: Path, parts: dict, rng: torch.Generator, budget: dict) -> tuple[list[float], float]:
    """The losses and the seconds of the run so far."""
    if not checkpoint.exists():
        return [], 0.0
    try:
        state = torch.load(checkpoint, weights_only=True)
    except Exception as error:  # a damaged file can raise almost anything
        raise ValueError(f"{checkpoint} is damaged or no checkpoint; delete it to start anew") from error
    if state["budget"] != budget:
        raise ValueError(f"{checkpoint} is of a run of {_said(state['budget'])}, not {_said(budget)}; delete it")
    for name, part in parts.items():
        try:
            part.load_state_dict(state[name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise ValueError(f"{checkpoint} is of another model; delete it to start anew") from error
    rng.set_state(state["rng"])
    return state["losses"], state["elapsed"]


def _said(budget: dict) -> str:
    return " and ".join(f"{amount} {unit}" for unit, amount in budget.items() if amount is not None)
