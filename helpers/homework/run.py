"""A training that may be killed at any moment, on one process or many.

The folder of a run holds the newest checkpoint and the one before it, ``curve.png``, a sheet of samples for every
twentieth of the way, or fewer in a short run, and logs for TensorBoard. The same command goes on where a broken run
stopped.
"""

import contextlib
import dataclasses
import math
import os
import shutil
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

from helpers import faces, figures
from helpers.homework import command_line
from helpers.homework.data import Dice, Faces, augment, throw
from helpers.models.diffusion import Diffusion, cosine_schedule, linear_schedule
from helpers.pictures import device, to_float
from helpers.training import optimizers_of, schedule
from helpers.unet import Denoiser

CAPTION = faces.LANGUAGE.captions[0]  # "a face": the homework asks for faces, and says nothing more about them
SCHEDULES = {"cosine": cosine_schedule, "linear": linear_schedule}
SAVE_EVERY = 45.0  # seconds; with a step and the writing, a killed run loses less than a minute
KEPT = 2  # checkpoints
DRIVE = Path("/content/drive")  # where Colab mounts a learner's Google Drive
SHEETS = 20  # of samples in a run, at most
SHEET_EVERY = 500  # steps, at least: a sheet takes the time of some ten, and in a short run would take most of it


def _said(default: Any, words: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": words})


@dataclasses.dataclass(frozen=True)
class Config:
    """All that decides which weights a run ends with, beside its pictures. Every field is an option of ``train``."""

    size: int = _said(64, "side of the pictures, in pixels; the homework's sample code makes 64")
    width: int = _said(64, "channels on the finest grid of the U-Net, a multiple of 32")
    levels: int = _said(3, "grids of the U-Net, each half as fine as the one before")
    blocks: int = _said(1, "residual blocks on each grid, on the way down and on the way up")
    fold: int = _said(2, "side of the blocks of pixels that the finest grid has a point for; 4 costs a third of 2")
    predicts: str = _said("picture", "what the network is asked for: picture, velocity or noise")
    schedule: str = _said("cosine", "how the noise grows: cosine or linear")
    timesteps: int = _said(1000, "steps of noise, T; sampling may take far fewer")
    augment: tuple[str, ...] = _said(("flip",), "changes of the training pictures: flip, rotate, colour, or none")
    batch: int = _said(64, "pictures in a step, over all processes and all parts")
    steps: int = _said(20_000, "length of the training")
    lr: float = _said(3e-3, "highest learning rate of Adam")
    muon_lr: float = _said(0.02, "highest learning rate of Muon, which trains the matrices; 0 leaves all to Adam")
    ema: float = _said(0.999, "weight of the past in the averaged weights, once there is a past")
    seed: int = _said(0, "of the weights and of everything that chance decides")


def build(config: Config) -> Diffusion:
    """The untrained model.

    Raises:
        ValueError: a setting that is not possible, and what would be.
    """
    if config.schedule not in SCHEDULES:
        raise ValueError(f"there is no schedule {config.schedule!r}; there are {' and '.join(SCHEDULES)}")
    block = config.fold * 2 ** (config.levels - 1)
    if config.size % block or config.width % 32:
        raise ValueError(
            f"size {config.size} must be a multiple of {block}, for {config.levels} grids and blocks of "
            f"{config.fold} pixels, and width {config.width} one of 32"
        )
    shape = {"width": config.width, "levels": config.levels, "blocks": config.blocks, "fold": config.fold}
    network = Denoiser(faces.LANGUAGE, config.size, **shape)
    return Diffusion(network, config.size, SCHEDULES[config.schedule](config.timesteps), config.predicts)


def loss_at(model: Diffusion, pictures: Tensor, dice: Dice) -> Tensor:
    """Mean squared error of the network's answer for pictures ``(n, 3, s, s)`` in [0, 1], when the dice fell so."""
    captions = [CAPTION] * len(pictures)
    alpha_bar = model.alpha_bar[dice.t.to(pictures.device)][:, None, None, None]
    return model.error(model.inside(pictures, captions), captions, alpha_bar, dice.noise.to(pictures))


def averager(decay: float):
    """How the averaged weights follow: closely at first, when the past is poor, and then with the given decay."""

    def average(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        keep = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averaged, current, 1 - keep)

    return average


def train(
    config: Config,
    data: Faces,
    folder: str | Path,
    *,
    accumulate: int = 1,
    precision: str = "no",
    compiled: bool = False,
    save_every: float = SAVE_EVERY,
    progress: bool = True,
) -> list[float]:
    """Train to the end of the budget, from the beginning or from the newest checkpoint in the folder.

    With ``accelerate launch`` or ``torchrun`` every process calls this. Each computes its share of every batch, so the
    number of processes changes the speed and not the result, apart from rounding.

    Args:
        config: of the model and its training.
        data: to learn from.
        folder: of the run.
        accumulate: parts in which a process computes its share, one after the other, where memory is short.
        precision: ``"no"`` for 32 bits throughout, ``"bf16"`` where the hardware has it, ``"fp16"`` on older GPUs: the
            loss is scaled, so that small gradients are not lost, and a step whose gradients are not finite is left out.
        compiled: whether ``torch.compile`` translates the network first: minutes to begin with, faster steps after.
        save_every: seconds between checkpoints.
        progress: whether to show a bar, write samples and log.

    Returns:
        The loss at every step, from the first.

    Raises:
        ValueError: a batch that cannot be shared out; a checkpoint of another configuration or of other pictures.
        FloatingPointError: the loss is not a number any more.
        OSError: a checkpoint cannot be written; the folder is on a drive that is not mounted.
        MemoryError: the batch does not fit, and what to do.
    """
    # Importing it takes seconds, which those who only look at pictures need not wait for.
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    if precision == "fp16" and device().type == "cpu":
        raise ValueError("fp16 needs a GPU, and there is none that torch can use; bf16 and 32 bits work without")
    AcceleratorState._reset_state()  # else a notebook could not train twice with different precision
    accelerator = Accelerator(mixed_precision=precision, cpu=device().type == "cpu")
    parts = accelerator.num_processes * accumulate
    if config.batch % parts:
        raise ValueError(
            f"a batch of {config.batch} cannot be shared by {accelerator.num_processes} processes in {accumulate} "
            f"parts each; take a multiple of {parts}"
        )
    if data.pictures.shape[-1] != config.size:
        raise ValueError(f"the pictures have {data.pictures.shape[-1]} pixels and the configuration {config.size}")
    folder = Path(folder)
    torch.manual_seed(config.seed)
    model = build(config).to(accelerator.device)
    network = model.network.to(memory_format=torch.channels_last)  # a step is quicker so, above all with 16 bits
    average = AveragedModel(model, multi_avg_fn=averager(config.ema))
    model.network = accelerator.prepare(torch.compile(network) if compiled else network)
    # Only now: the wrapper for many processes moves the weights, and Muon must see them where they are.
    optimizers = optimizers_of(network, config.lr, config.muon_lr, {})
    state = {"network": network, "average": average, **{type(o).__name__: o for o in optimizers}}
    if accelerator.scaler:
        state["scaler"] = accelerator.scaler
    highest = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    about = {"config": dataclasses.asdict(config), "pictures": data.fingerprint, "source": data.source}
    losses = _resume(folder, state, about)
    alone = accelerator.is_main_process
    if alone:
        folder.mkdir(parents=True, exist_ok=True)
    accelerator.wait_for_everyone()  # nobody may prune a checkpoint that another still reads
    model.train()
    journal = _Journal(folder, config, len(losses)) if alone and progress else None
    saved = time.monotonic()
    there = {"total": config.steps * config.batch, "initial": len(losses) * config.batch}
    bar = tqdm(**there, desc="training", unit=" pictures", unit_scale=True, disable=journal is None)
    with bar, journal or contextlib.nullcontext():
        for step in range(len(losses), config.steps):
            for optimizer, peaks in zip(optimizers, highest, strict=True):
                for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                    group["lr"] = peak * schedule(step / config.steps)
            dice = throw(config.seed, step, config.batch, len(data.training), config.timesteps, config.size)
            share = config.batch // accelerator.num_processes
            mine = dice[accelerator.process_index * share : (accelerator.process_index + 1) * share]
            loss = _backward(accelerator, model, data, config, mine, accumulate)
            losses.append(accelerator.reduce(loss, "mean").item())
            if not math.isfinite(losses[-1]):
                raise FloatingPointError(
                    f"the loss is {losses[-1]} at step {step}. Halve --lr and --muon-lr and begin in another --folder; "
                    "if it was with --precision bf16 or fp16, try without first"
                )
            _step(optimizers, accelerator.scaler)
            average.update_parameters(model)
            bar.update(config.batch)
            if journal:
                journal.write(losses, average.module, bar)
            last = len(losses) == config.steps
            if alone and (last or time.monotonic() - saved >= save_every):
                _save(folder, state, about, losses)
                saved = time.monotonic()
    accelerator.wait_for_everyone()
    return losses


def _backward(accelerator, model: Diffusion, data: Faces, config: Config, dice: Dice, accumulate: int) -> Tensor:
    """Leave the gradient of the loss of all these pictures in the network, and give the loss."""
    part = len(dice.rows) // accumulate
    total = torch.zeros((), device=accelerator.device)
    try:
        for start in range(0, len(dice.rows), part):
            some = dice[start : start + part]
            pictures = to_float(data.pictures[data.training[some.rows]].to(accelerator.device))  # bytes are sent
            pictures = augment(pictures, config.augment, some.changes)
            last = start + part == len(dice.rows)
            # Processes add up their gradients once a batch, with the last part.
            with contextlib.nullcontext() if last else accelerator.no_sync(model.network):
                loss = loss_at(model, pictures, some) / accumulate
                accelerator.backward(loss)
            total += loss.detach()
    except RuntimeError as error:  # torch has an error of its own for CUDA alone
        if "out of memory" not in str(error) and "allocate memory" not in str(error):
            raise
        raise MemoryError(
            f"{part} pictures at once do not fit into memory. --accumulate {2 * accumulate} takes half as many at once "
            "and ends with the same weights; a smaller --width needs less, too"
        ) from error
    return total


def _step(optimizers: Sequence[torch.optim.Optimizer], scaler: torch.amp.GradScaler | None) -> None:
    """Move the weights along the gradients, which a scaler has enlarged, and forget these."""
    for optimizer in optimizers:
        if scaler:
            scaler.step(optimizer)  # divides first, and does nothing where that is not finite
        else:
            optimizer.step()
    if scaler:
        scaler.update()
    for optimizer in optimizers:
        optimizer.zero_grad()


class _Journal:
    """What can be watched while a model trains: the bar, a curve, samples, TensorBoard.

    Where they cannot be written any more, it says so once, and the training goes on: that is for a checkpoint to stop.
    """

    def __init__(self, folder: Path, config: Config, done: int):
        from torch.utils.tensorboard import SummaryWriter  # takes a second

        self.folder, self.config, self.fails = folder, config, False
        self.board = SummaryWriter(folder / "logs", purge_step=done)

    def __enter__(self) -> "_Journal":
        return self

    def __exit__(self, *_) -> None:
        with contextlib.suppress(OSError):
            self.board.close()

    def write(self, losses: list[float], averaged: Diffusion, bar: tqdm) -> None:
        if self.fails:
            return
        try:
            self._write(losses, averaged, bar)
        except OSError as error:
            self.fails = True
            warnings.warn(f"no more samples and logs in {self.folder}: {_why_not(self.folder, error)}", stacklevel=2)

    def _write(self, losses: list[float], averaged: Diffusion, bar: tqdm) -> None:
        done, steps = len(losses), self.config.steps
        if done % 20 == 0:
            recent = sum(losses[-20:]) / 20
            bar.set_postfix_str(f"loss {recent:.4f}", refresh=False)
            self.board.add_scalar("loss", recent, done)
        if done % max(SHEET_EVERY, math.ceil(steps / SHEETS)) == 0 or done == steps:
            self._show(losses, averaged)

    def _show(self, losses: list[float], averaged: Diffusion) -> None:
        place = averaged.alpha_bar.device
        z = torch.randn(16, *averaged.latent_shape, generator=torch.Generator().manual_seed(0)).to(place)
        made = averaged.sample([CAPTION] * 16, z=z, steps=min(20, self.config.timesteps)).cpu()
        sheet = figures.crowd(made, alt=f"Sixteen faces after {len(losses)} steps")
        sheet.image.save(self.folder / f"samples-{len(losses):08}.png")
        self.board.add_images("samples", made, len(losses))
        curve(losses).image.save(self.folder / "curve.png")


def curve(losses: list[float]) -> figures.Figure:
    """The loss over the steps, each point the mean of a hundredth of the way."""
    width = max(1, len(losses) // 100)
    means = torch.tensor(losses[: len(losses) // width * width]).view(-1, width).mean(1)
    figure, axis = plt.subplots(figsize=(7, 3))
    axis.plot(torch.arange(1, len(means) + 1) * width, means)
    axis.set(xlabel="step", ylabel="loss", yscale="log")
    return figures.plot(figure, alt=f"The loss over {len(losses)} steps, from {means[0]:.3f} to {means[-1]:.3f}")


# ---- Checkpoints ----


def checkpoints(folder: str | Path) -> list[Path]:
    """The checkpoints of a run, the newest first."""
    return sorted(Path(folder).glob("step-*.pt"), reverse=True)


def load(folder: str | Path) -> tuple[Diffusion, Config, int]:
    """The averaged model of a run, finished or not, its configuration, and the steps that it has learnt for.

    Raises:
        FileNotFoundError: there is no checkpoint.
        ValueError: all checkpoints are damaged.
    """
    stored = _newest(Path(folder))
    if stored is None:
        raise FileNotFoundError(
            f"{folder} holds no checkpoint; `{command_line('train', '--folder', folder)}` makes one"
        )
    config = _config(stored["config"])
    model = build(config)
    weights = {name.removeprefix("module."): value for name, value in stored["average"].items() if "." in name}
    model.load_state_dict(weights)
    return model.to(device()).eval().requires_grad_(False), config, len(stored["losses"])


def learnt_from(folder: str | Path) -> tuple[dict[str, str | int] | None, str | None]:
    """The ``source`` and the ``fingerprint`` of the pictures that a run learnt from, as far as they are known.

    Raises:
        ValueError: all checkpoints are damaged.
    """
    stored = _newest(Path(folder)) or {}
    return stored.get("source"), stored.get("pictures")  # older runs have no source, and an empty folder has neither


def _config(fields: dict[str, Any]) -> Config:
    return Config(**fields | {"augment": tuple(fields["augment"])})


def _save(folder: Path, state: dict[str, Any], about: dict[str, Any], losses: list[float]) -> None:
    """Under a temporary name first: a run that is killed while writing leaves the checkpoints before it whole.

    A folder that is gone is not made again: it would lie where its drive was, and go with the machine.
    """
    partial = folder / "checkpoint.partial"
    kept = {name: part.state_dict() for name, part in state.items()}
    try:
        with partial.open("wb") as file:
            torch.save({**kept, **about, "losses": losses}, file)
            file.flush()
            os.fsync(file.fileno())  # a machine that is switched off should not leave a name without its bytes
        os.replace(partial, folder / f"step-{len(losses):08}.pt")
        for old in checkpoints(folder)[KEPT:]:
            os.truncate(old, 0)  # Google Drive keeps for a month what is deleted, and counts it
            old.unlink()
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise OSError(
            f"no checkpoint could be written to {folder} at step {len(losses)}: {_why_not(folder, error)}. Then give "
            "the same command again; it goes on from the checkpoint before"
        ) from error


def _why_not(folder: Path, error: Exception) -> str:
    """Why nothing can be written to a folder, and what to do."""
    if not os.path.isdir(folder):  # where a drive has broken off, pathlib's own would raise
        return "the folder is gone. If it is on a drive, mount that again"
    return f"{error}, with {shutil.disk_usage(folder).free / 1e6:,.0f} MB free. Make room there"


def _newest(folder: Path) -> dict[str, Any] | None:
    """What the newest checkpoint that can be read holds; None where there is none at all."""
    if Path(os.path.abspath(folder)).is_relative_to(DRIVE) and not os.path.ismount(DRIVE):
        raise FileNotFoundError(
            f"{folder} is on a drive that is not mounted, and what is written there would be lost. In a cell, run "
            f"`from google.colab import drive; drive.mount({str(DRIVE)!r})`, and give the same command again"
        )
    found = checkpoints(folder)
    for path in found:
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file can raise almost anything
            warnings.warn(f"{path} is damaged and left out: {error}", stacklevel=2)
    if found:
        raise ValueError(f"every checkpoint in {folder} is damaged; delete them, or give another --folder")
    return None


def _resume(folder: Path, state: dict[str, Any], about: dict[str, Any]) -> list[float]:
    """The losses of the run so far, with all its state put back; none where it begins."""
    stored = _newest(folder)
    if stored is None:
        return []
    # What older runs do not say was as it is now by default.
    there, here = dataclasses.asdict(_config(stored["config"])), about["config"]
    other = [f"{name} is {there[name]} there and {here[name]} here" for name in here if there[name] != here[name]]
    if stored["pictures"] != about["pictures"]:
        other.append(f"it learnt from {stored['pictures']}, and these are {about['pictures']}")
    if other:
        raise ValueError(
            f"the run in {folder} is another one: {'; '.join(other)}. Give the same options to go on with it, or "
            "another --folder to begin anew"
        )
    for name, part in state.items():
        if name in stored:  # a run in 32 bits that goes on in 16 brings no scaler along
            part.load_state_dict(stored[name])
    return stored["losses"]
