"""One training loop for the whole course: progress, averaged weights, checkpoint and resume."""

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

CHECKPOINT_EVERY = 500  # steps; a killed run loses at most these


def train(
    model: nn.Module,
    loss: Callable[[nn.Module, torch.Generator], Tensor],
    steps: int,
    rng: torch.Generator,
    lr: float = 2e-3,
    ema_decay: float = 0.999,
    checkpoint: Path | None = None,
) -> list[float]:
    """Minimise ``loss`` with Adam, a short warm-up and a cosine decay; leave the averaged weights in ``model``.

    Args:
        model: is changed in place.
        loss: makes a batch with the given generator and returns a scalar, ``loss(model, rng)``.
        steps: how many.
        rng: the source of randomness of the batches.
        lr: the highest learning rate.
        ema_decay: weight of the past in the exponential moving average of the weights.
        checkpoint: a file. The state is stored there now and then, and a run that finds it goes on from it to the same
            weights as an unbroken one. It is removed at the end.

    Returns:
        The loss at every step.

    Raises:
        ValueError: the checkpoint belongs to another model or another number of steps.
        FloatingPointError: the loss is not a number any more.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema_decay), use_buffers=True)
    warmup = max(1, steps // 50)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 1 / warmup, total_iters=warmup),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps - warmup)),
        ],
        milestones=[warmup],
    )
    parts = {"model": model, "average": average, "optimizer": optimizer, "schedule": schedule}
    losses = _resume(checkpoint, parts, rng, steps) if checkpoint else []
    model.train()
    with tqdm(total=steps, initial=len(losses), desc="training", leave=False) as bar:
        while len(losses) < steps:
            value = loss(model, rng)
            if not torch.isfinite(value):
                raise FloatingPointError(f"the loss is {value.item()} at step {len(losses)}; try a lower lr than {lr}")
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
            losses.append(value.item())
            bar.update()
            if len(losses) % 20 == 0:
                bar.set_postfix(loss=f"{sum(losses[-20:]) / 20:.3g}")
            if checkpoint and len(losses) % CHECKPOINT_EVERY == 0:
                _store(checkpoint, parts, rng, losses, steps)
    model.load_state_dict(average.module.state_dict())
    model.eval()
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    return losses


def _store(checkpoint: Path, parts: dict, rng: torch.Generator, losses: list[float], steps: int) -> None:
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    state = {name: part.state_dict() for name, part in parts.items()}
    partial = checkpoint.with_suffix(".partial")
    torch.save({**state, "rng": rng.get_state(), "losses": losses, "steps": steps}, partial)
    os.replace(partial, checkpoint)


def _resume(checkpoint: Path, parts: dict, rng: torch.Generator, steps: int) -> list[float]:
    if not checkpoint.exists():
        return []
    state = torch.load(checkpoint, weights_only=True)
    if state["steps"] != steps:
        raise ValueError(f"{checkpoint} is of a run of {state['steps']} steps, not {steps}; delete it to start anew")
    for name, part in parts.items():
        try:
            part.load_state_dict(state[name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise ValueError(f"{checkpoint} is of another model; delete it to start anew") from error
    rng.set_state(state["rng"])
    return state["losses"]
