"""The training loop: it learns, it resumes to the very same weights, and it says what is wrong."""

import pytest
import torch
from torch import nn

from helpers import training
from helpers.training import train


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
    losses = train(model, loss, 400, rng(), lr=0.05, ema_decay=0.9)
    assert len(losses) == 400
    assert losses[-1] < 1e-3 < losses[0]
    assert torch.allclose(model.weight, torch.ones(1, 3), atol=0.02)
    assert not model.training


@pytest.mark.filterwarnings("ignore:Detected call")
def test_a_killed_run_ends_with_the_same_weights_as_an_unbroken_one(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 10)
    unbroken = make_model()
    all_losses = train(unbroken, loss, 60, rng())

    calls = 0

    def killed(model, generator):
        nonlocal calls
        calls += 1
        if calls == 38:
            raise KeyboardInterrupt
        return loss(model, generator)

    checkpoint = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        train(make_model(), killed, 60, rng(), checkpoint=checkpoint)
    assert checkpoint.exists()
    resumed = make_model()
    losses = train(resumed, loss, 60, torch.Generator().manual_seed(99), checkpoint=checkpoint)
    assert losses == all_losses
    assert torch.equal(resumed.weight, unbroken.weight)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_run_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 5)
    checkpoint = tmp_path / "run.pt"

    def stop(model, generator):
        if checkpoint.exists():
            raise KeyboardInterrupt
        return loss(model, generator)

    with pytest.raises(KeyboardInterrupt):
        train(make_model(), stop, 20, rng(), checkpoint=checkpoint)
    with pytest.raises(ValueError, match="20 steps, not 30"):
        train(make_model(), loss, 30, rng(), checkpoint=checkpoint)
    with pytest.raises(ValueError, match="another model"):
        train(nn.Linear(4, 1), loss, 20, rng(), checkpoint=checkpoint)


def test_a_loss_that_is_not_a_number_stops_with_advice():
    with pytest.raises(FloatingPointError, match="lower lr"):
        train(make_model(), lambda model, generator: model.weight.sum() * float("nan"), 5, rng())
