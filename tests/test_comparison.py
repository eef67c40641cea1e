"""The comparison: a budget that only work uses up, a table that is kept, and the counting."""

import dataclasses
import json
import math

import pytest
import torch
from torch import nn

from helpers import checkpoints, comparison, dogs, judge
from helpers.comparison import evaluations, frechet, mean_and_covariance, pareto_front


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A table by a plan of a moment, of two families and few pictures."""
    monkeypatch.setattr(comparison, "JUDGED", 40)
    few = {name: comparison.FAMILIES[name] for name in ("gan", "vae")}
    monkeypatch.setattr(comparison, "FAMILIES", few)
    threads = torch.get_num_threads()
    plan = comparison.PLAN | {"seconds": [0.05, 0.1], "seeds": [0]}
    yield dataclasses.replace(comparison.TABLE, file=tmp_path / "comparison.json", plan=plan)
    torch.set_num_threads(threads)


def test_every_shipped_family_takes_part():
    assert set(comparison.RECIPES) < set(comparison.FAMILIES)


def test_the_same_steps_and_seed_give_the_same_model():
    models = [comparison.train_family("gan", seed, steps=3)[0] for seed in (0, 0, 1)]
    z = torch.randn(4, *models[0].latent_shape, generator=rng())
    first, second, other = (model.sample(["a running dog"] * 4, z) for model in models)
    assert torch.equal(first, second)
    assert not torch.allclose(first, other, atol=1e-3)


def test_an_unknown_family_is_named_with_those_that_there_are():
    with pytest.raises(KeyError, match="vae"):
        comparison.train_family("vea", 0, steps=1)


def test_real_pictures_measure_as_real():
    found = comparison.measured(lambda captions, rng: dogs.draw(dogs.sample_scenes(captions, rng), 16), seed=0)
    assert min(found["valid"], found["faithful"]) > 0.97
    assert found["fd_dogs"] < 20


def test_one_seed_means_the_same_captions_for_all():
    seen = []

    def sample(captions, rng):
        seen.append(list(captions))
        return torch.rand(len(captions), 3, 16, 16, generator=rng)

    for seed in (0, 0, 1):
        comparison.measured(sample, seed)
    assert seen[0] == seen[1] != seen[2]


def test_a_broken_run_goes_on_and_repeats_nothing(small):
    comparison.run(small)
    rows = small.rows()
    assert [(row["family"], row["seconds"]) for row in rows] == [
        ("gan", 0.05),
        ("vae", 0.05),
        ("gan", 0.1),
        ("vae", 0.1),
    ]
    rows[0]["steps"] = 12345
    small.store(rows[:1] + rows[2:])  # as if it had been killed, with one missing
    comparison.run(small)
    again = small.rows()
    assert len(again) == 4
    assert again[0]["steps"] == 12345
    assert again[-1]["family"] == "vae"


def test_a_table_of_another_plan_is_refused(small):
    with pytest.raises(FileNotFoundError, match="`python -m helpers"):
        small.rows()
    small.file.write_text(json.dumps({"plan": {"seconds": [1]}, "rows": []}))
    with pytest.raises(ValueError, match="delete it"):
        small.rows()


def test_the_shipped_table_is_whole():
    rows = comparison.TABLE.rows()
    found = {(row["family"], row["seed"], row["seconds"]) for row in rows}
    plan = comparison.PLAN
    assert found == {(f, s, t) for f in comparison.FAMILIES for s in plan["seeds"] for t in plan["seconds"]}
    assert len(rows) == len(found)


def test_evaluations_are_calls_and_leave_nothing_behind():
    network = nn.Sequential(nn.Linear(2, 2), nn.SiLU())
    assert evaluations(network, lambda: [network(torch.zeros(5, 2)) for _ in range(3)]) == 3
    assert evaluations(network, lambda: None) == 0
    assert not network._forward_hooks


def test_the_front_is_what_a_double_loop_finds():
    cost = torch.randint(0, 6, (40, 2), generator=rng()).float()
    beaten = [any((other <= row).all() and (other < row).any() for other in cost) for row in cost]
    assert pareto_front(cost).tolist() == [not b for b in beaten]
    assert 0 < sum(beaten) < 40


def test_mean_and_covariance_are_those_of_the_library():
    points = torch.randn(50, 4, generator=rng()) * torch.tensor([1.0, 2.0, 0.5, 1.0]) + 3
    mean, covariance = mean_and_covariance(points)
    assert torch.allclose(mean, points.mean(0))
    assert torch.allclose(covariance, points.T.cov(), atol=1e-5)


def test_the_distance_of_gaussians_has_its_closed_form_where_they_commute():
    mean, other = torch.zeros(3), torch.tensor([1.0, -2.0, 0.0])
    scale, other_scale = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 2.0, 0.0])
    found = frechet(mean, scale.square().diag(), other, other_scale.square().diag())
    assert found.item() == pytest.approx(5 + 1 + 9, rel=1e-5)


def test_the_distance_is_the_judges_on_dogs_and_leaves_gradients():
    pictures, real = dogs.draw(dogs.sample_scenes(600, rng()), 16).split(300)
    grainy = judge.grainy(pictures, rng()).requires_grad_()
    clouds = [mean_and_covariance(judge.features(each)) for each in (grainy, real)]
    found = frechet(*clouds[0], *clouds[1])
    assert found.item() == pytest.approx(judge.frechet_distance(grainy.detach(), real), rel=1e-3)
    found.backward()
    assert grainy.grad.isfinite().all()
    assert grainy.grad.any()


def test_a_bound_of_the_likelihood_becomes_tighter_with_work():
    captions = dogs.LANGUAGE.sample(4, rng())
    pictures = dogs.draw(dogs.sample_scenes(captions, rng()), 16)
    vae, diffusion = checkpoints.load("vae").first, checkpoints.load("vector_diffusion")
    for bound, work in ((comparison.vae_bound, (1, 50)), (comparison.diffusion_bound, (5, 100))):
        model = vae if bound is comparison.vae_bound else diffusion
        less, more = (bound(model, pictures, captions, n, rng()) for n in work)
        assert less + 1 < more


def test_the_bound_of_a_vae_that_redraws_perfectly_is_what_it_should_be():
    """One number, x = z + noise: then log p(x) is that of N(0, 1 + sigma^2), and many draws of q come near to it."""

    class Line(torch.nn.Module):
        def encode(self, x, captions):
            return 0.8 * x, torch.full_like(x, -1.0)

        def decoder(self, captions, z):
            return z

    x = torch.tensor([[0.5], [-1.0], [2.0]])
    sigma = (0.2 * x).square().mean().sqrt().item()
    right = torch.distributions.Normal(0.0, (1 + sigma**2) ** 0.5).log_prob(x).mean().item()
    assert comparison.vae_bound(Line(), x, [""] * 3, 20_000, rng()).item() == pytest.approx(right, abs=0.05)


def test_the_bound_of_a_diffusion_that_knows_the_picture_is_that_of_its_last_grain():
    class Knows:
        def inside(self, pictures, captions):
            return pictures

        def estimate(self, x_t, level, captions):
            return x

    x = torch.randn(2, 3, 4, 4, generator=rng())
    grain = torch.distributions.Normal(0.0, math.exp(-5 / 2))
    found = comparison.diffusion_bound(Knows(), x, [""] * 2, 10, rng())
    assert found.item() == pytest.approx(-48 * grain.entropy().item(), rel=1e-4)


def test_the_bound_of_a_diffusion_that_knows_the_world_is_its_likelihood():
    """Of standard normal numbers the best guess is sqrt(alpha_bar) x_t, and only coarse steps lose a little."""

    class Knows:
        def inside(self, pictures, captions):
            return pictures

        def estimate(self, x_t, level, captions):
            return level.sqrt() * x_t

    x = torch.randn(200, 3, 4, 4, generator=rng())
    right = torch.distributions.Normal(0.0, 1.0).log_prob(x).flatten(1).sum(1).mean().item()
    found = comparison.diffusion_bound(Knows(), x, [""] * 200, 1000, rng()).item()
    assert right - 2 < found < right
