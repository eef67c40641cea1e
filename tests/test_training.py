"""The training loop: it learns, it resumes to the very same weights, and it says what is wrong."""

import itertools
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers import training
from helpers.training import train

ROOT = Path(__file__).parent.parent


def make_model():
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def loss(model, rng):
    x = torch.randn(32, 3, generator=rng)
    return (model(x)[:, 0] - x.sum(1)).square().mean()


def rng():
    return torch.Generator().manual_seed(0)


def test_it_learns_and_leaves_the_averaged_weights():
    model = make_model()
    losses = train(model, loss, rng(), steps=400, lr=0.05, ema_decay=0.9)
    assert len(losses) == 400
    assert losses[-1] < 1e-3 < losses[0]
    assert torch.allclose(model.weight, torch.ones(1, 3), atol=0.02)
    assert not model.training


@pytest.mark.filterwarnings("ignore:Detected call")
def test_a_killed_run_ends_with_the_same_weights_as_an_unbroken_one(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 10)
    unbroken = make_model()
    all_losses = train(unbroken, loss, rng(), steps=60)

    calls = 0

    def killed(model, generator):
        nonlocal calls
        calls += 1
        if calls == 38:
            raise KeyboardInterrupt
        return loss(model, generator)

    checkpoint = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        train(make_model(), killed, rng(), steps=60, checkpoint=checkpoint)
    assert checkpoint.exists()
    resumed = make_model()
    losses = train(resumed, loss, torch.Generator().manual_seed(99), steps=60, checkpoint=checkpoint)
    assert losses == all_losses
    assert torch.equal(resumed.weight, unbroken.weight)
    assert list(tmp_path.iterdir()) == []


def break_off(checkpoint, steps):
    """A run that is interrupted as soon as it has stored its state."""

    def stop(model, generator):
        if checkpoint.exists():
            raise KeyboardInterrupt
        return loss(model, generator)

    with pytest.raises(KeyboardInterrupt):
        train(make_model(), stop, rng(), steps=steps, checkpoint=checkpoint)


def test_the_bar_of_a_run_that_goes_on_begins_where_it_stopped_and_moves(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 60)
    checkpoint = tmp_path / "run.pt"

    break_off(checkpoint, steps=120)
    capsys.readouterr()

    def slow(model, generator):
        time.sleep(0.03)
        return loss(model, generator)

    train(make_model(), slow, rng(), steps=120, checkpoint=checkpoint)
    shown = [int(share) for share in re.findall(r"(\d+)%", capsys.readouterr().err)]
    assert shown[0] == 50
    assert len(set(shown)) > 2


def test_a_checkpoint_of_another_run_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 5)
    checkpoint = tmp_path / "run.pt"

    break_off(checkpoint, steps=20)
    with pytest.raises(ValueError, match="20 steps, not 30"):
        train(make_model(), loss, rng(), steps=30, checkpoint=checkpoint)
    with pytest.raises(ValueError, match="another model"):
        train(nn.Linear(4, 1), loss, rng(), steps=20, checkpoint=checkpoint)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    checkpoint = tmp_path / "run.pt"
    checkpoint.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(ValueError, match="damaged"):
        train(make_model(), loss, rng(), steps=5, checkpoint=checkpoint)


SCRIPT = """
import sys
from pathlib import Path
import torch
from helpers import training
from tests.test_training import loss, make_model, rng
training.CHECKPOINT_EVERY = 20
model = make_model()
checkpoint = Path(sys.argv[1])
training.train(model, loss, rng(), steps=int(sys.argv[2]), muon_lr=0.01, checkpoint=checkpoint)
print(model.weight.tolist())
"""


def run(checkpoint: Path, steps: int) -> subprocess.Popen:
    command = [sys.executable, "-c", SCRIPT, str(checkpoint), str(steps)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_run_killed_by_the_system_goes_on_as_if_nothing_had_happened(tmp_path):
    steps = 3000
    unbroken, _ = run(tmp_path / "unbroken.pt", steps).communicate(timeout=100)
    checkpoint = tmp_path / "broken.pt"
    victim = run(checkpoint, steps)
    while not checkpoint.exists():
        assert victim.poll() is None, "it was over before it could be killed"
        time.sleep(0.001)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait(timeout=20) == -signal.SIGKILL
    assert checkpoint.exists()
    resumed, _ = run(checkpoint, steps).communicate(timeout=100)
    assert json.loads(resumed) == json.loads(unbroken)
    assert not checkpoint.exists()


def test_a_budget_is_steps_or_seconds():
    with pytest.raises(ValueError, match="either steps="):
        train(make_model(), loss, rng())
    with pytest.raises(ValueError, match="either steps="):
        train(make_model(), loss, rng(), steps=5, seconds=5)


def test_a_budget_in_seconds_ends_in_time_and_goes_on_after_a_break(tmp_path, monkeypatch):
    clock = iter(range(1000)).__next__  # every look at the clock takes a second
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 1)
    losses = train(make_model(), loss, rng(), seconds=20, clock=clock)
    assert len(losses) == 19
    checkpoint, calls = tmp_path / "run.pt", []

    def stop(model, generator):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return loss(model, generator)

    with pytest.raises(KeyboardInterrupt):
        train(make_model(), stop, rng(), seconds=20, clock=clock, checkpoint=checkpoint)
    resumed = train(make_model(), loss, rng(), seconds=20, clock=clock, checkpoint=checkpoint)
    assert 4 < len(resumed) < 19


def interrupted_at(step):
    """The loss, and at one step the interrupt of somebody who has waited long enough."""
    calls = itertools.count(1)

    def impatient(model, generator):
        if next(calls) == step:
            raise KeyboardInterrupt
        return loss(model, generator)

    return impatient


@pytest.mark.parametrize("budget", [{"steps": 1000}, {"seconds": 600}])
def test_an_interrupt_ends_a_training_in_a_lesson_with_what_it_has_learned(capsys, budget):
    model, all_steps = make_model(), make_model()
    losses = train(model, interrupted_at(21), rng(), lr=0.05, ema_decay=0.9, **budget)
    assert len(losses) == 20
    assert not model.training
    assert "interrupted after 20 steps" in capsys.readouterr().out
    train(all_steps, interrupted_at(21), rng(), lr=0.05, ema_decay=0.0, **budget)
    assert not torch.equal(model.weight, all_steps.weight)  # the averaged weights, not the last
    assert not torch.equal(model.weight, make_model().weight)


@pytest.mark.parametrize(
    ("step", "budget"),
    [
        (1, {"steps": 100}),
        (21, {"seconds": 600, "clock": time.process_time}),
        (21, {"steps": 100, "clock": time.process_time}),
        (21, {"steps": 100, "checkpoint": "run.pt"}),
    ],
)
def test_an_interrupt_ends_every_other_run(tmp_path, step, budget):
    if "checkpoint" in budget:
        budget = budget | {"checkpoint": tmp_path / budget["checkpoint"]}
    with pytest.raises(KeyboardInterrupt):
        train(make_model(), interrupted_at(step), rng(), **budget)


def test_the_learning_rate_rises_stays_and_falls_to_nothing():
    rates = [training.schedule(done / 1000) for done in range(1001)]
    assert rates[0] < 0.02
    assert rates[30] == rates[300] == 1
    assert rates[-1] == 0
    assert all(a >= b for a, b in itertools.pairwise(rates[20:]))


def test_muon_trains_the_matrices_and_adam_the_rest():
    model = nn.Sequential(nn.Embedding(4, 8), nn.Linear(8, 8), nn.LayerNorm(8))
    muon, adam = training.optimizers_of(model, lr=1e-3, muon_lr=1e-2, part_lr={}, betas=(0.0, 0.99))
    assert [p.shape for group in muon.param_groups for p in group["params"]] == [model[1].weight.shape]
    assert adam.defaults["betas"] == (0.0, 0.99)
    trained = sum(len(group["params"]) for optimizer in (muon, adam) for group in optimizer.param_groups)
    assert trained == len(list(model.parameters()))


def test_muon_trains_a_convolution_as_the_linear_layer_that_it_is():
    """A kernel as large as the picture is a linear layer; both must take the same steps."""
    torch.manual_seed(0)
    convolution, linear = nn.Conv2d(2, 5, 3), nn.Linear(18, 5)
    with torch.no_grad():
        linear.weight.copy_(convolution.weight.flatten(1))
        linear.bias.copy_(convolution.bias)
    before = linear.weight.detach().clone()
    x, goal = torch.randn(40, 2, 3, 3, generator=rng()), torch.rand(40, 5, generator=rng())

    def loss(layer, _):
        return (layer(x if layer is convolution else x.flatten(1)).flatten(1) - goal).square().mean()

    for layer in (convolution, linear):
        losses = train(layer, loss, rng(), steps=20, muon_lr=0.02, ema_decay=0.0)
        assert losses[-1] < losses[0] / 2
    assert (linear.weight - before).abs().mean() > 0.02
    assert torch.allclose(convolution.weight.flatten(1), linear.weight, atol=1e-4)


@pytest.mark.parametrize("shape", [(5, 3), (16, 48), (64, 64), (12, 4, 3, 3)])
def test_muon_takes_the_steps_of_torch_which_rounds_to_sixteen_bits(shape):
    generator = rng()
    ours = nn.Parameter(torch.randn(shape, generator=generator))
    torchs = nn.Parameter(ours.detach().flatten(1).clone())
    start = ours.detach().clone()
    optimizers = [training.Muon([ours], lr=0.1), torch.optim.Muon([torchs], lr=0.1, weight_decay=0.0)]
    for _ in range(5):
        ours.grad = torch.randn(shape, generator=generator)
        torchs.grad = ours.grad.flatten(1)
        for optimizer in optimizers:
            optimizer.step()
    moved, apart = (ours - start).norm(), (ours.flatten(1) - torchs).norm()
    assert apart < 0.02 * moved


def test_muon_evens_out_the_directions_of_a_gradient():
    basis = torch.linalg.qr(torch.randn(40, 8, generator=rng()))[0]
    uneven = basis * torch.logspace(-1.5, 0, 8)  # singular values from 0.03 to 1
    for matrix in (uneven, uneven.mT):
        values = torch.linalg.svdvals(training.orthogonalised(matrix))
        assert 0.6 < values.min() < values.max() < 1.3


def test_products_may_be_computed_in_sixteen_bits():
    seen = set()

    def watched(model, generator):
        seen.add(model(torch.randn(4, 3, generator=generator)).dtype)
        return loss(model, generator)

    for bfloat16, expected in ((True, torch.bfloat16), (False, torch.float32)):
        model = make_model()
        losses = train(model, watched, rng(), steps=400, lr=0.05, ema_decay=0.9, bfloat16=bfloat16)
        assert seen == {expected}
        seen.clear()
        assert model.weight.dtype == torch.float32
        assert losses[-1] < 0.01 < losses[0]


def test_a_part_may_learn_at_another_pace():
    model = nn.ModuleDict({"slow": nn.Linear(3, 1), "quick": nn.Linear(3, 1)})
    start = {name: part.weight.clone() for name, part in model.items()}

    def both(model, generator):
        return loss(model["slow"], generator) + loss(model["quick"], generator)

    pace = {"lr": 1e-3, "part_lr": {"quick": 1e-2}, "betas": (0.0, 0.99), "ema_decay": 0.0}
    train(model, both, rng(), steps=10, **pace)
    slow, quick = ((model[name].weight - start[name]).abs().mean() for name in ("slow", "quick"))
    assert quick > 5 * slow > 0
    with pytest.raises(AttributeError, match="quickest"):
        train(model, both, rng(), steps=10, part_lr={"quickest": 1.0})


def test_a_loss_that_is_not_a_number_stops_with_advice():
    with pytest.raises(FloatingPointError, match="lower lr"):
        train(make_model(), lambda model, generator: model.weight.sum() * float("nan"), rng(), steps=5)
