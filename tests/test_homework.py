"""Homework 6: a training that may be killed, archives that can be handed in, and a judge that knows copies."""

import errno
import gzip
import hashlib
import io
import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import types
import weakref
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from helpers import homework
from helpers.homework import __main__ as command_line
from helpers.homework import archive, data, report, run, score
from tests import anchors

ROOT = Path(__file__).parent.parent
TINY = run.Config(size=16, width=32, levels=2, timesteps=50, batch=8, steps=6)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(n, size=16, seed=0):
    """Smooth pictures of any colour, uint8."""
    coarse = torch.rand(n, 3, 3, 3, generator=rng(seed))
    fine = nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")
    return (255 * fine).clamp(0, 255).to(torch.uint8)


def save_folder(folder, n=60):
    folder.mkdir(parents=True)
    for k, picture in enumerate(blobs(n)):
        (folder / f"{k}.jpg").write_bytes(archive.jpeg(picture, 90))
    return folder


@pytest.fixture
def faces():
    return data.split(blobs(60))


def weights(folder):
    return run.load(folder)[0].state_dict()


def same(some, others):
    return all(torch.equal(value, others[name]) for name, value in some.items())


# ---- Data ----


def test_a_folder_is_found_however_it_was_unzipped_and_broken_pictures_are_named(tmp_path):
    save_folder(tmp_path / "faces" / "faces")
    (tmp_path / "faces" / "faces" / "7.jpg").write_bytes(b"cut short")
    with pytest.warns(UserWarning, match=r"skipped 1 of 60 files: faces/7\.jpg"):
        outer = data.load(tmp_path / "faces", 16, cache=tmp_path / "cache")
    with pytest.warns(UserWarning, match=r"7\.jpg"):
        inner = data.load(tmp_path / "faces" / "faces", 16, cache=tmp_path / "cache")
    assert torch.equal(outer.pictures, inner.pictures)
    assert outer.pictures.shape == (59, 3, 16, 16)
    assert outer.pictures.dtype == torch.uint8
    assert outer.fingerprint == inner.fingerprint != data.split(blobs(59, seed=1)).fingerprint


def zipped(folder, path):
    return Path(shutil.make_archive(path, "zip", folder.parent, folder.name))


def test_a_zip_is_as_good_as_the_folder_in_it_and_is_unpacked_once(tmp_path, monkeypatch):
    folder = save_folder(tmp_path / "faces" / "faces")
    path = zipped(tmp_path / "faces", tmp_path / "my 圖片")
    found = data.load(path, 16, cache=tmp_path / "cache")
    assert torch.equal(found.pictures, data.load(folder, 16, cache=None).pictures)
    assert found.source == {"folder": str(path)}
    with monkeypatch.context() as patch:
        patch.setattr(data.zipfile.ZipFile, "extract", None)
        assert torch.equal(data.load(path, 16, cache=tmp_path / "cache").pictures, found.pictures)
    (folder / "0.jpg").unlink()
    zipped(tmp_path / "faces", tmp_path / "my 圖片")
    assert len(data.load(path, 16, cache=tmp_path / "cache").pictures) == 59  # another zip of that name


def test_a_zip_that_cannot_be_unpacked_leaves_nothing_behind(tmp_path, monkeypatch):
    path, cache = zipped(save_folder(tmp_path / "faces"), tmp_path / "faces"), tmp_path / "cache"
    whole = path.read_bytes()
    path.write_bytes(whole[:2000] + bytes(400) + whole[2400:])
    with pytest.raises(ValueError, match=r"faces\.zip can't be unpacked .*Download it again"):
        data.load(path, 16, cache=cache)
    path.write_bytes(whole)

    def full(self, member, folder):
        (folder / "half").mkdir(parents=True)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(data.zipfile.ZipFile, "extract", full)
        with pytest.raises(OSError, match=r"faces\.zip could not be unpacked into .*cache: .*No space.*Make room"):
            data.load(path, 16, cache=cache)
    assert list(cache.glob("faces*")) == []
    assert len(data.load(path, 16, cache=cache).pictures) == 60


def test_cartoon_faces_look_both_ways():
    faces = data.load(size=16, n=40)
    straight = data.faces.dataset(40, 16)[0]
    assert torch.equal(faces.pictures[1::2], straight[1::2])
    assert torch.equal(faces.pictures[::2], straight[::2].flip(-1))


def test_what_the_judge_sees_no_training_sees():
    faces = data.split(blobs(60))
    assert sorted([*faces.training.tolist(), *faces.held_out.tolist()]) == list(range(60))
    assert len(faces.held_out) == 12
    assert len(data.split(torch.zeros(20_000, 3, 1, 1, dtype=torch.uint8)).held_out) == 2 * data.JUDGED
    with pytest.raises(ValueError, match="too few to learn from"):
        data.split(blobs(5))


def test_every_epoch_shows_every_picture_once_in_another_order():
    rows = torch.cat([data.throw(0, step, 8, 20, 50, 4).rows for step in range(10)])
    epochs = rows.view(4, 20)
    assert all(sorted(epoch.tolist()) == list(range(20)) for epoch in epochs)
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 4


def test_the_dice_depend_on_the_seed_and_the_step_alone():
    dice, again = data.throw(1, 5, 8, 20, 50, 4), data.throw(1, 5, 8, 20, 50, 4)
    assert all(torch.equal(getattr(dice, name), getattr(again, name)) for name in vars(dice))
    for other in (data.throw(2, 5, 8, 20, 50, 4), data.throw(1, 6, 8, 20, 50, 4)):
        assert not torch.equal(dice.noise, other.noise)
    many = data.throw(0, 0, 4000, 20, 50, 1)
    assert many.t.unique().tolist() == list(range(1, 51))
    part = dice[2:4]
    assert torch.equal(part.noise, dice.noise[2:4])
    assert torch.equal(part.t, dice.t[2:4])


def test_augmentations_do_what_they_say():
    pictures = blobs(4) / 255
    half = torch.full((4, 5), 0.5)
    everything = data.AUGMENTATIONS
    assert torch.allclose(data.augment(pictures, everything, half), pictures, atol=1e-5)
    assert torch.equal(data.augment(pictures, (), torch.zeros(4, 5)), pictures)
    some = torch.tensor([0.1, 0.9, 0.1, 0.9])[:, None].expand(4, 5)
    flipped = data.augment(pictures, ("flip",), some)
    assert torch.equal(flipped[::2], pictures[::2].flip(-1))
    assert torch.equal(flipped[1::2], pictures[1::2])
    left, right = (data.augment(pictures, ("rotate",), torch.full((4, 5), u)) for u in (0.0, 1.0))
    mirrored = data.augment(pictures.flip(-1), ("rotate",), torch.full((4, 5), 0.0)).flip(-1)
    assert torch.allclose(right, mirrored, atol=1e-5)
    assert not torch.allclose(left, right, atol=0.1)
    assert (left[..., 0, 0] == 0).all()  # black came in from outside
    grey = torch.full((1, 3, 4, 4), 0.5)
    brighter = data.augment(grey, ("colour",), torch.tensor([[0, 0, 1.0, 0, 0]]))
    assert torch.allclose(brighter, 0.5 * (1 + data.JITTER) * torch.ones(1, 3, 4, 4))
    faded = data.augment(pictures, ("colour",), torch.tensor([[0, 0, 0.5, 0.5, 0]]).expand(4, 5))
    assert (faded.amax(1) - faded.amin(1)).mean() < 0.7 * (pictures.amax(1) - pictures.amin(1)).mean()
    with pytest.raises(ValueError, match="there is no augmentation 'crop'; there are flip, rotate, colour"):
        data.augment(pictures, ("crop",), half)


# ---- Training ----


@pytest.mark.parametrize("predicts", ["noise", "velocity", "picture"])
def test_the_loss_is_zero_for_who_knows_the_answer(predicts):
    model = run.build(run.Config(size=16, width=32, levels=2, predicts=predicts, timesteps=50))
    pictures, dice = blobs(4) / 255, data.throw(0, 0, 4, 4, 50, 16)

    class Knowing(nn.Module):
        def forward(self, captions, x_t, alpha_bar):
            signal, spread = alpha_bar.sqrt()[:, None, None, None], (1 - alpha_bar).sqrt()[:, None, None, None]
            x = 4 * pictures - 2
            noise = (x_t - signal * x) / spread
            return {"noise": noise, "velocity": signal * noise - spread * x, "picture": x.expand(x_t.shape)}[predicts]

    model.network = Knowing()
    assert run.loss_at(model, pictures, dice).item() < 1e-6
    dice.noise = dice.noise.flip(0)
    other = run.loss_at(model, pictures.flip(0), dice).item()
    assert other > 0.01


def test_a_run_ends_with_averaged_weights_that_follow_and_keeps_two_checkpoints(faces, tmp_path):
    losses = run.train(TINY, faces, tmp_path, save_every=0)
    assert len(losses) == 6
    assert [path.name for path in run.checkpoints(tmp_path)] == ["step-00000006.pt", "step-00000005.pt"]
    assert not list(tmp_path.glob("*.partial"))
    assert (tmp_path / "curve.png").exists()
    assert (tmp_path / "samples-00000006.png").exists()
    assert list((tmp_path / "logs").iterdir())
    model, config, steps = run.load(tmp_path)
    assert (config, steps, model.training) == (TINY, 6, False)
    stored = torch.load(run.checkpoints(tmp_path)[0], weights_only=True)
    name = "end.2.weight"
    averaged, last = model.state_dict()[f"network.unet.{name}"], stored["network"][f"unet.{name}"]
    assert not torch.equal(averaged, last)
    assert run.train(TINY, faces, tmp_path) == losses  # nothing is left to do


@pytest.mark.parametrize(
    ("steps", "shown"),
    [
        (20, [20]),
        (500, [500]),
        (1_300, [500, 1_000, 1_300]),
        (20_000, list(range(1_000, 20_001, 1_000))),
        (20_010, [*range(1_001, 20_010, 1_001), 20_010]),
    ],
)
def test_sheets_of_samples_are_few_and_the_last_shows_the_end(steps, shown, tmp_path):
    sheets, losses = [], []
    journal = run._Journal(tmp_path, run.Config(steps=steps), 0)
    journal._show = lambda losses, _: sheets.append(len(losses))
    with journal:
        for _ in range(steps):
            losses.append(1.0)
            journal.write(losses, None, types.SimpleNamespace(set_postfix_str=lambda *_, **__: None))
    assert sheets == shown


def test_the_average_follows_closely_at_first():
    average = [torch.zeros(1)]
    run.averager(0.999)(average, [torch.ones(1)], torch.tensor(1))
    assert average[0].item() == pytest.approx(1 - 2 / 11)
    run.averager(0.999)(average, [torch.ones(1)], torch.tensor(100_000))
    assert average[0].item() == pytest.approx(1 - 2 / 11 * 0.999)


def test_a_run_from_before_a_setting_existed_goes_on(faces, tmp_path):
    run.train(TINY, faces, tmp_path, progress=False)
    newest = run.checkpoints(tmp_path)[0]
    stored = torch.load(newest, weights_only=True)
    del stored["config"]["fold"]
    torch.save(stored, newest)
    assert run.train(TINY, faces, tmp_path, progress=False) == stored["losses"]
    with pytest.raises(ValueError, match="fold is 2 there and 4 here"):
        run.train(run.Config(**vars(TINY) | {"fold": 4}), faces, tmp_path, progress=False)


def test_parts_of_a_batch_give_the_gradient_of_the_whole(faces, tmp_path):
    config = run.Config(**vars(TINY) | {"muon_lr": 0.0})  # Muon turns the rounding of a zero gradient into a step
    whole = run.train(config, faces, tmp_path / "whole", progress=False)
    parts = run.train(config, faces, tmp_path / "parts", accumulate=4, progress=False)
    assert torch.allclose(torch.tensor(whole), torch.tensor(parts), rtol=1e-3)


def test_half_precision_computes_nearly_the_same(faces, tmp_path):
    whole, half = (
        torch.tensor(run.train(TINY, faces, tmp_path / precision, precision=precision, progress=False))
        for precision in ("no", "bf16")
    )
    assert torch.allclose(whole, half, rtol=0.05)
    assert not torch.equal(whole, half)


def test_a_scaled_loss_moves_the_weights_as_far_and_an_overflow_does_not():
    def moved(scale, gradient):
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = torch.optim.SGD([weight], lr=0.5)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale) if scale else None
        loss = (weight * gradient).sum()
        (scaler.scale(loss) if scaler else loss).backward()
        run._step([optimizer], scaler)
        assert weight.grad is None
        return weight.detach(), scaler

    small = torch.tensor([1e-3, 2e-3, 0.0])
    assert torch.allclose(moved(1024.0, small)[0], moved(None, small)[0])
    assert not torch.equal(moved(None, small)[0], torch.ones(3))
    weight, scaler = moved(1024.0, torch.tensor([1.0, torch.inf, 0.0]))
    assert torch.equal(weight, torch.ones(3))
    assert scaler.get_scale() < 1024


def test_sixteen_bits_of_old_gpus_need_one(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "device", lambda: torch.device("cpu"))
    with pytest.raises(ValueError, match="fp16 needs a GPU"):
        run.train(TINY, faces, tmp_path, precision="fp16", progress=False)


def call(*arguments, **environment):
    """What a Python of its own prints."""
    variables = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())} | environment
    words = [sys.executable, *map(str, arguments)]
    done = subprocess.run(words, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def options(config, folder, pictures):
    words = ["--folder", folder, "--data", pictures]
    for name, value in vars(config).items():
        words += [f"--{name.replace('_', '-')}", *(value if isinstance(value, tuple) else [value])]
    return [str(word) for word in words]


def test_two_processes_learn_what_one_learns(tmp_path):
    """The whole batch is the same; each computes half of it."""
    pictures = save_folder(tmp_path / "pictures")
    config = run.Config(**vars(TINY) | {"steps": 8, "muon_lr": 0.02, "predicts": "velocity"})
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", 2, "--master_port", 29_511, "-m", "helpers.homework"]
    call(*launch, "train", *options(config, tmp_path / "two", pictures), OMP_NUM_THREADS="1")
    alone = run.train(config, data.load(pictures, 16), tmp_path / "one", progress=False)
    stored = torch.load(run.checkpoints(tmp_path / "two")[0], weights_only=True)
    assert alone == pytest.approx(stored["losses"], rel=2e-3)
    assert alone[-1] < alone[0]


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path):
    pictures = save_folder(tmp_path / "pictures")
    config = run.Config(**vars(TINY) | {"steps": 60})
    folder = tmp_path / "killed"
    words = [sys.executable, "-m", "helpers.homework", "train", *options(config, folder, pictures), "--save-every", "0"]
    variables = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    running = subprocess.Popen(words, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(run.checkpoints(folder)) < 2:
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    reached = int(run.checkpoints(folder)[0].stem.removeprefix("step-"))
    assert 1 < reached < 60
    faces = data.load(pictures, 16)
    losses = run.train(config, faces, folder, progress=False)
    unbroken = run.train(config, faces, tmp_path / "unbroken", progress=False)
    assert losses == unbroken
    assert same(weights(folder), weights(tmp_path / "unbroken"))


def test_a_damaged_checkpoint_is_passed_over(faces, tmp_path):
    run.train(TINY, faces, tmp_path, save_every=0, progress=False)
    right = weights(tmp_path)
    newest = run.checkpoints(tmp_path)[0]
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="is damaged and left out"):
        losses = run.train(TINY, faces, tmp_path, progress=False)
    assert len(losses) == 6
    assert same(weights(tmp_path), right)
    for path in run.checkpoints(tmp_path):
        path.write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(ValueError, match=r"every checkpoint in .* is damaged"),
    ):
        run.train(TINY, faces, tmp_path, progress=False)


def test_a_checkpoint_of_another_run_is_refused(faces, tmp_path):
    run.train(run.Config(**vars(TINY) | {"steps": 1}), faces, tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"steps is 1 there and 6 here.* another --folder"):
        run.train(TINY, faces, tmp_path, progress=False)
    config = run.Config(**vars(TINY) | {"steps": 1})
    with pytest.raises(ValueError, match="it learnt from 48 pictures"):
        run.train(config, data.split(blobs(70)), tmp_path, progress=False)
    with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
        run.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "options", "complaint"),
    [
        ({"batch": 9}, {"accumulate": 2}, "a batch of 9 cannot be shared by 1 processes in 2 parts each"),
        ({"size": 32}, {}, "the pictures have 16 pixels and the configuration 32"),
        ({"levels": 5}, {}, "must be a multiple of 32, for 5 grids and blocks of 2 pixels"),
        ({"fold": 3}, {}, "must be a multiple of 6, for 2 grids and blocks of 3 pixels"),
        ({"width": 40}, {}, "width 40 one of 32"),
        ({"schedule": "sine"}, {}, "there is no schedule 'sine'; there are cosine and linear"),
        ({"predicts": "future"}, {}, "not 'future'"),
    ],
)
def test_an_impossible_setting_is_explained(faces, tmp_path, change, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        run.train(run.Config(**vars(TINY) | change), faces, tmp_path, progress=False, **options)


def test_a_full_disk_costs_nothing_but_the_new_checkpoint(faces, tmp_path, monkeypatch):
    real, calls = os.fsync, []

    def full(file):
        calls.append(file)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    monkeypatch.setattr(run.os, "fsync", full)
    with pytest.raises(OSError, match=r"at step 3: .*No space left on device.* Make room there"):
        run.train(TINY, faces, tmp_path, save_every=0, progress=False)
    assert [path.name for path in run.checkpoints(tmp_path)] == ["step-00000002.pt", "step-00000001.pt"]
    assert not list(tmp_path.glob("*.partial"))
    assert len(run.train(TINY, faces, tmp_path, progress=False)) == 6


def test_a_folder_that_is_gone_ends_the_run_and_is_not_made_again(faces, tmp_path, monkeypatch):
    """As if a drive were unmounted: what lay there is there when it is mounted again."""
    drive, away, real = tmp_path / "drive", tmp_path / "away", run.throw

    def unmounted(seed, step, *others):
        if step == 3:
            drive.rename(away)
        return real(seed, step, *others)

    with monkeypatch.context() as patch:
        patch.setattr(run, "throw", unmounted)
        with pytest.raises(OSError, match=r"at step 4: the folder is gone.* mount that again.* the same command again"):
            run.train(TINY, faces, drive / "run", save_every=0, progress=False)
    assert not drive.exists()
    away.rename(drive)
    assert [path.name for path in run.checkpoints(drive / "run")] == ["step-00000003.pt", "step-00000002.pt"]
    assert len(run.train(TINY, faces, drive / "run", progress=False)) == 6
    with pytest.raises(OSError, match=r"could not be written.* the same command again"):
        archive.store(blobs(2), tmp_path / "gone" / "run" / "samples.npy")
    assert not (tmp_path / "gone").exists()


def test_an_old_checkpoint_is_emptied_before_it_is_deleted(faces, tmp_path, monkeypatch):
    """A drive may keep for a while what is deleted."""
    real, sizes = Path.unlink, []

    def unlink(path, *arguments, **options):
        if path.suffix == ".pt":
            sizes.append(path.stat().st_size)
        real(path, *arguments, **options)

    monkeypatch.setattr(Path, "unlink", unlink)
    run.train(run.Config(**vars(TINY) | {"steps": 4}), faces, tmp_path, save_every=0, progress=False)
    assert sizes == [0, 0]


def test_samples_and_logs_that_cannot_be_written_stop_no_training(faces, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run._Journal, "_show", full)
    monkeypatch.setattr(run, "SHEET_EVERY", 2)
    with pytest.warns(UserWarning, match=r"no more samples and logs in .*No space left.* MB free") as warned:
        assert len(run.train(TINY, faces, tmp_path)) == 6
    assert len(warned) == 1
    assert run.load(tmp_path)[2] == 6


def test_a_drive_that_is_not_mounted_is_no_place_for_a_run(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "DRIVE", tmp_path / "drive")
    folder = tmp_path / "drive" / "MyDrive" / "run"
    for command in (["train", "--faces", "20", "--size", "16"], ["sample"]):
        with pytest.raises(SystemExit, match=r"drive that is not mounted.*drive\.mount\('.*drive'\)"):
            command_line.main([*command, "--folder", str(folder)])
    assert not (tmp_path / "drive").exists()
    monkeypatch.setattr(run.os.path, "ismount", lambda path: True)
    assert len(run.train(run.Config(**vars(TINY) | {"steps": 1}), faces, folder, progress=False)) == 1


def test_what_does_not_fit_into_memory_is_explained(faces, tmp_path, monkeypatch):
    def too_much(*_):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(run, "loss_at", too_much)
    with pytest.raises(MemoryError, match=r"4 pictures at once do not fit.* --accumulate 4"):
        run.train(TINY, faces, tmp_path, accumulate=2, progress=False)
    monkeypatch.setattr(run, "loss_at", lambda *_: (_ for _ in ()).throw(RuntimeError("something else")))
    with pytest.raises(RuntimeError, match="something else"):
        run.train(TINY, faces, tmp_path, progress=False)


def test_a_loss_that_is_no_number_stops_the_run_and_spoils_no_checkpoint(faces, tmp_path, monkeypatch):
    real = run.loss_at

    def diverges(model, pictures, dice):
        calls.append(1)
        return real(model, pictures, dice) * (float("nan") if len(calls) == 4 else 1)

    calls = []
    monkeypatch.setattr(run, "loss_at", diverges)
    with pytest.raises(FloatingPointError, match=r"the loss is nan at step 3\. Halve --lr"):
        run.train(TINY, faces, tmp_path, save_every=0, progress=False)
    assert all(value.isfinite().all() for value in weights(tmp_path).values())


# ---- Samples and archive ----


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = run.build(TINY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape)
    return model.eval()


def test_samples_do_not_depend_on_the_batch(model):
    many, few = (archive.generate(model, 7, steps=3, batch=batch, progress=False) for batch in (7, 2))
    assert many.shape == (7, 3, 16, 16)
    assert many.dtype == torch.uint8
    assert (many.float() - few.float()).abs().max() <= 1
    assert not torch.equal(many, archive.generate(model, 7, steps=3, seed=1, progress=False))


def test_sampling_keeps_no_steps(model, monkeypatch):
    """The steps of a thousand pictures would fill ten gigabytes."""
    steps, most = [], []

    def way(*_):
        for _ in range(30):
            picture = torch.rand(2, 3, 16, 16)
            steps.append(weakref.ref(picture))
            most.append(sum(step() is not None for step in steps))
            yield torch.zeros(1), picture

    monkeypatch.setattr(type(model), "_way", way)
    archive.generate(model, 2, progress=False)
    assert len(most) == 30
    assert max(most) <= 3


def test_samples_are_kept_without_loss(tmp_path):
    pictures = blobs(5)
    archive.store(pictures, tmp_path / "new" / "samples.npy")
    assert torch.equal(archive.restore(tmp_path / "new" / "samples.npy"), pictures)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "new" / "samples.npy").read_bytes()[:200])
    with pytest.raises(ValueError, match="is damaged"):
        archive.restore(tmp_path / "cut.npy")
    with pytest.raises(FileNotFoundError, match="sample"):
        archive.restore(tmp_path / "none.npy")


def test_an_archive_holds_the_best_quality_that_fits(tmp_path):
    pictures = blobs(30, 64)
    path = tmp_path / "new" / "faces.tgz"
    best = archive.pack(pictures, path)
    assert best == 95
    roomy = path.stat().st_size
    middling = archive.pack(pictures, path, limit=roomy - 3000)
    assert 30 <= middling < best
    assert path.stat().st_size < roomy - 3000
    assert len(archive._archive([archive.jpeg(p, middling + 1) for p in pictures])) >= roomy - 3000
    again = path.read_bytes()
    archive.pack(pictures, path, limit=roomy - 3000)
    assert path.read_bytes() == again
    shown = archive.read(path, 30)
    assert (shown.float() - pictures.float()).abs().mean() < 3
    with tarfile.open(path) as tar:
        assert tar.getnames() == [f"{k}.jpg" for k in range(1, 31)]
    with pytest.raises(ValueError, match="do not fit into 5,000 bytes even at quality 30"):
        archive.pack(pictures, path, limit=5000)
    assert path.read_bytes() == again
    with pytest.raises(TypeError, match="try to_uint8"):
        archive.pack(pictures / 255, path)


def tgz(path, members):
    """An archive of (name, content) with None for a folder."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if content is None:
                member.type = tarfile.DIRTYPE
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content or b""))


def good(n=6):
    return [(f"{k}.jpg", archive.jpeg(picture, 75)) for k, picture in enumerate(blobs(n, 64), start=1)]


def png():
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    return file.getvalue()


BAD = {
    "in a folder": ([("out", None), *((f"out/{name}", content) for name, content in good())], "from inside their"),
    "with a folder": ([("./", None), *good()], "holds folders or links"),
    "numbered from 0": ([(f"{k}.jpg", content) for k, (_, content) in enumerate(good())], r"\(0.jpg\); the names are"),
    "gaps": ([*good()[:4], ("11.jpg", good()[4][1]), ("12.jpg", good()[5][1])], r"2 pictures are missing \(5.jpg, 6"),
    "more": ([*good(), ("notes.txt", b"hello")], r"1 files do not belong there \(notes.txt\)"),
    "twice": ([*good(), good()[0]], "twice"),
    "wrong size": ([*good()[:5], ("6.jpg", archive.jpeg(blobs(1, 96)[0], 75))], "6.jpg is 96 x 96, not 64 x 64"),
    "PNG": ([*good()[:5], ("6.jpg", png())], "6.jpg is a PNG"),
    "broken": ([*good()[:5], ("6.jpg", b"?")], "6.jpg cannot be opened"),
    "cut picture": ([*good()[:5], ("6.jpg", good()[5][1][:300])], "6.jpg cannot be opened"),
}


@pytest.mark.parametrize(("members", "reason"), BAD.values(), ids=BAD.keys())
def test_a_bad_archive_is_refused_with_the_reason(tmp_path, members, reason):
    tgz(tmp_path / "a.tgz", members)
    with pytest.raises(ValueError, match=reason):
        archive.read(tmp_path / "a.tgz", 6)


def test_an_archive_must_be_one_and_small_enough(tmp_path):
    path = tmp_path / "a.tgz"
    tgz(path, good())
    assert archive.read(path, 6).shape == (6, 3, 64, 64)
    with pytest.raises(ValueError, match="bytes and must have less than 1,000"):
        archive.read(path, 6, limit=1000)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no archive", gzip.compress(b"no tar"), b""):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"cannot be handed in: it is no .tgz|pictures are missing"):
            archive.read(path, 6)
    with pytest.raises(FileNotFoundError):
        archive.read(tmp_path / "none.tgz")


# ---- The judge ----


def test_inside_counts_neighbourhoods():
    some, others = torch.randn(20, 4, generator=rng(1)), torch.randn(30, 4, generator=rng(2))
    hits = 0
    for x in some:
        for k, y in enumerate(others):
            reach = sorted((y - z).norm() for j, z in enumerate(others) if j != k)[2]
            if (x - y).norm() <= reach:
                hits += 1
                break
    assert score.inside(some, others) == pytest.approx(hits / 20)
    assert 0 < hits < 20
    assert score.inside(others, others) == 1
    assert score.inside(some + 100, others) == 0


@pytest.fixture(scope="module")
def judge():
    return score.Judge(data.load(size=32, n=1500))


def test_the_judge_orders_what_is_known(judge):
    found = judge.anchors(75)
    real, jpeg, training, mean, noise = found.values()
    assert real.fd_faces < jpeg.fd_faces < mean.fd_faces < noise.fd_faces
    assert abs(real.kid) < jpeg.kid < mean.kid < noise.kid
    assert real.precision > 0.6
    assert real.recall > 0.6
    assert noise.precision < 0.5
    assert noise.recall == mean.recall == 0
    assert real.copied < 0.05
    assert training.copied > 0.99
    assert training.nearest < 0.01
    assert real.nearest == pytest.approx(1)
    assert "other real faces" in score.table(found)


def test_mirrored_and_compressed_copies_are_copies(judge):
    originals = judge.data.pictures[judge.data.training[:50]]
    for copies in (originals.flip(-1), score.compressed(originals, 90)):
        assert judge.score(copies).copied > 0.95
    coarse = judge.score(score.compressed(originals, 50))  # of 32 pixels, little is left: they only come too near
    assert coarse.nearest < 0.7


def test_the_reader_reads(judge):
    pictures, scenes = score.faces.dataset(400, 64, seed=9)
    answers = score.reader().read(pictures / 255)
    for name, needed in {"background": 0.97, "glasses": 0.95, "colour": 0.9, "length": 0.9, "mood": 0.85}.items():
        assert (answers[name].argmax(1) == getattr(scenes, name)).float().mean() > needed


@pytest.mark.slow
@pytest.mark.parametrize("style", ["lorelei", "big-smile"])
def test_fd_faces_may_be_trusted_on_a_style_that_its_reader_has_never_seen(style):
    found = anchors.face_distances(style, 150)
    for worse in (
        ("fresh", "blurred", "blurred twice as much"),
        ("fresh", "grain", "twice the grain"),
        ("fresh", "a tenth from elsewhere", "a third from elsewhere", "all from elsewhere"),
        ("fresh", "a third of the faces, three times", "a tenth of the faces, ten times"),
        ("fresh", "upper and lower halves of two", "the mean face", "noise"),
        ("fresh", "left and right halves of two", "the mean face", "noise"),
    ):
        assert all(found[near] < found[far] for near, far in itertools.pairwise(worse)), worse


def test_the_judge_says_what_it_needs(judge):
    with pytest.raises(TypeError, match="needs uint8"):
        judge.score(torch.rand(10, 3, 32, 32))
    with pytest.raises(ValueError, match="16, 16"):
        judge.score(blobs(10, 16))
    with pytest.raises(ValueError, match="too few to judge"):
        judge.score(blobs(3, 32))


def test_the_detector_is_the_learners_own(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", types.SimpleNamespace())  # version 5 has no cascades
    with pytest.raises(ImportError, match="OpenCV below 5"):
        score.face_rate(blobs(2), "x.xml")

    class Cascade:
        def __init__(self, path):
            self.path = path

        def empty(self):
            return self.path == "bad.xml"

        def detectMultiScale(self, grey, **_):
            return [(0, 0, 9, 9)] if grey.mean() > 100 else ()

    cv2 = types.SimpleNamespace(
        CascadeClassifier=Cascade,
        COLOR_RGB2GRAY=0,
        BORDER_REPLICATE=0,
        cvtColor=lambda picture, _: picture.mean(-1),
        equalizeHist=lambda grey: grey,
        copyMakeBorder=lambda grey, *_: grey,
    )
    monkeypatch.setitem(sys.modules, "cv2", cv2)
    pictures = torch.tensor([0, 255, 255, 255], dtype=torch.uint8)[:, None, None, None].expand(4, 3, 16, 16)
    assert score.face_rate(pictures, "good.xml") == 0.75
    with pytest.raises(ValueError, match="is no cascade"):
        score.face_rate(pictures, "bad.xml")


def test_the_inception_network_is_the_learners_own(tmp_path):
    with pytest.raises(FileNotFoundError):
        score.inception_fid(blobs(4), blobs(4), tmp_path / "no-such-weights.pth")
    other = tmp_path / "other.pth"
    other.write_bytes(b"half of a download")
    with pytest.raises(ValueError, match="not the network of the FID, or only part of it"):
        score.inception_fid(blobs(4), blobs(4), other)


def test_the_real_pictures_go_through_inception_once(tmp_path, monkeypatch):
    class Network(torch.nn.Module):
        num_features, seen = 12, 0

        def forward(self, pictures):
            Network.seen += len(pictures)
            return torch.nn.functional.adaptive_avg_pool2d(pictures / 255, 2).flatten(1)

    weights, kind = tmp_path / "weights.pth", score.FrechetInceptionDistance
    weights.write_bytes(b"Inception")
    monkeypatch.setattr(score, "INCEPTION_SHA256", hashlib.sha256(b"Inception").hexdigest())
    monkeypatch.setattr(score, "FrechetInceptionDistance", lambda **_: kind(feature=Network()))
    pictures, real = blobs(80), blobs(80, seed=1)
    first = score.inception_fid(pictures, real, weights, tmp_path)
    assert Network.seen == 160
    assert score.inception_fid(pictures, real, weights, tmp_path) == pytest.approx(first) != 0
    assert Network.seen == 240
    assert score.inception_fid(real, real, weights, tmp_path) == pytest.approx(0, abs=1e-4) != first
    nowhere = weights / "cache"  # below a file nothing can be kept
    assert score.inception_fid(pictures, real, weights, nowhere) == pytest.approx(first)


# ---- The command line ----


def test_the_commands_lead_from_pictures_to_an_archive(tmp_path, capsys):
    pictures = save_folder(tmp_path / "faces" / "faces")
    folder = tmp_path / "run"
    command_line.main(["train", *options(run.Config(**vars(TINY) | {"steps": 2}), folder, tmp_path / "faces")])
    command_line.main(["sample", "--folder", str(folder), "--steps", "1", "--batch", "500"])
    command_line.main(["pack", "--folder", str(folder)])
    command_line.main(["pack", "--check", str(folder / "submission.tgz"), "--size", "16"])
    command_line.main(["judge", "--folder", str(folder), "--data", str(pictures)])
    said = capsys.readouterr().out
    assert "can be handed in" in said
    assert "these samples" in said
    assert "never published" in said
    with pytest.raises(SystemExit, match=r"error: .*is 16 x 16, not 64 x 64"):
        command_line.main(["pack", "--check", str(folder / "submission.tgz")])
    with pytest.raises(SystemExit, match="error: there is no folder"):
        command_line.main(["train", "--folder", str(folder), "--data", str(tmp_path / "nowhere")])
    command_line.main(["sample", "--folder", str(folder), "--steps", "1", "--n", "3"])
    with pytest.raises(SystemExit, match="asks for 1,000 faces, and there are 3"):
        command_line.main(["pack", "--folder", str(folder)])


def test_a_command_is_printed_as_it_must_be_typed(monkeypatch):
    words = ["judge", "--folder", Path("my runs") / "it's 漢字 $1"]
    monkeypatch.setattr(sys, "orig_argv", ["/my python/bin/python3", "somewhere.py"])
    typed = homework.command_line(*words)
    assert shlex.split(typed) == ["/my python/bin/python3", "-m", "helpers.homework", *map(str, words)]
    monkeypatch.setattr(homework, "os", types.SimpleNamespace(name="nt"))
    assert homework.command_line("sample", "--folder", "my run").endswith(
        ' -m helpers.homework sample --folder "my run"'
    )


def typed(said, name):
    """The arguments of the one command of this name that was printed, as a shell splits them."""
    (line,) = [line for line in said.splitlines() if f"-m helpers.homework {name}" in line]
    return shlex.split(line)[shlex.split(line).index("helpers.homework") + 1 :]


@pytest.mark.skipif(os.name == "nt", reason="the words are quoted for another shell there")
def test_each_command_names_the_next_one_with_its_folder(tmp_path, capsys, monkeypatch):
    pictures, folder = save_folder(tmp_path / "my faces"), tmp_path / "my run"
    command_line.main(["train", *options(run.Config(**vars(TINY) | {"steps": 2}), folder, pictures)])
    command_line.main([*typed(capsys.readouterr().out, "sample"), "--steps", "1", "--n", "12"])
    said = capsys.readouterr().out
    command_line.main(typed(said, "judge"))
    assert f"judged against {pictures}\n" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"`.* sample --folder '.*my run'` makes them"):
        command_line.main(typed(said, "pack"))

    (folder / "samples.npy").unlink()
    with pytest.raises(SystemExit, match=r"there is no .*; `.* sample --folder '.*my run'` makes it"):
        command_line.main(["judge", "--folder", str(folder)])
    with pytest.raises(SystemExit, match=r"holds no checkpoint; `.* train --folder '.*no run'` makes one"):
        command_line.main(["sample", "--folder", str(tmp_path / "no run")])

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, "generate", interrupted)
    monkeypatch.setattr(run, "train", interrupted)
    for words, goes_on in (
        (["train", "--folder", str(folder), "--data", str(pictures), "--size", "16"], "goes on from the newest checkp"),
        (["sample", "--folder", str(folder), "--n", "12"], "begins again"),
    ):
        with pytest.raises(SystemExit, match=f"stopped; the same command {goes_on}") as stopped:
            command_line.main(words)
        assert typed(stopped.value.code, words[0]) == words


@pytest.mark.skipif(os.name == "nt", reason="the words are quoted for another shell there")
def test_an_unfinished_run_goes_on_with_the_command_that_sampling_names(tmp_path, capsys, monkeypatch):
    pictures, folder = save_folder(tmp_path / "faces"), tmp_path / "run"
    config = run.Config(**vars(TINY) | {"augment": ("flip", "rotate"), "lr": 1e-3})

    def stopped(*arguments):
        loss_at(*arguments)
        raise KeyboardInterrupt

    loss_at, save = run.loss_at, run._save
    with monkeypatch.context() as patch:
        patch.setattr(run, "_save", lambda *arguments: (save(*arguments), patch.setattr(run, "loss_at", stopped)))
        with pytest.raises(SystemExit, match="stopped"):
            command_line.main(["train", *options(config, folder, pictures), "--save-every", "0"])
    capsys.readouterr()
    command_line.main(["sample", "--folder", str(folder), "--steps", "1", "--n", "2"])
    said = capsys.readouterr().out
    assert "has learnt for 1 of 6 steps; this goes on with it:" in said
    command_line.main(typed(said, "train"))
    _, found, steps = run.load(folder)
    assert (found, steps) == (config, 6)


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """A run of one step on a folder, with samples; the folder; and cartoon faces that take no time."""
    monkeypatch.setattr(data.faces, "dataset", lambda n, size: (blobs(n, size, seed=1), None))
    pictures, folder = save_folder(tmp_path / "faces"), tmp_path / "run"
    run.train(run.Config(**vars(TINY) | {"steps": 1}), data.load(pictures, 16), folder, progress=False)
    archive.store(blobs(12, seed=2), folder / "samples.npy")
    return folder, pictures


def forget(folder):
    """Make the run one of an earlier version."""
    (path,) = run.checkpoints(folder)
    stored = torch.load(path, weights_only=True)
    assert stored.pop("source")
    torch.save(stored, path)


def test_a_run_is_judged_against_what_it_learnt_from(judged, tmp_path, capsys, monkeypatch):
    folder, pictures = judged
    judge = ["judge", "--folder", str(folder)]
    monkeypatch.chdir(tmp_path)
    command_line.main([*judge, "--data", "faces"])
    named = capsys.readouterr().out
    command_line.main(judge)
    assert capsys.readouterr().out == named
    assert named.startswith(f"judged against {pictures}\n")
    with pytest.raises(
        SystemExit, match=r"learnt from other pictures, 48 pictures, \w+ of .*faces, and these are 40 pict"
    ):
        command_line.main([*judge, "--faces", "50"])
    with pytest.raises(SystemExit, match="learnt from other pictures"):
        command_line.main([*judge, "--data", str(save_folder(tmp_path / "others", 70))])
    pictures.rename(tmp_path / "moved")
    command_line.main([*judge, "--data", "moved"])
    with pytest.raises(SystemExit, match="The run learnt from it; if it was moved, name it with --data"):
        command_line.main(judge)


def test_a_folder_that_has_changed_is_no_judge_of_its_run(judged):
    folder, pictures = judged
    (pictures / "7.jpg").unlink()
    with pytest.raises(SystemExit, match=r"learnt from other pictures, 48 pictures, .*, and these are 48 pictures, "):
        command_line.main(["judge", "--folder", str(folder)])


def test_a_run_of_an_earlier_version_is_judged_against_what_is_named(judged, capsys):
    folder, pictures = judged
    forget(folder)
    with pytest.raises(
        SystemExit, match=r"learnt from other pictures.*Name those it learnt from with --data or --faces"
    ):
        command_line.main(["judge", "--folder", str(folder)])
    command_line.main(["judge", "--folder", str(folder), "--data", str(pictures)])
    assert "judged against" in capsys.readouterr().out


def test_a_run_on_cartoons_remembers_how_many(judged, tmp_path, capsys):
    folder = tmp_path / "cartoons"
    words = ["--folder", str(folder), "--size", "16", "--width", "32", "--levels", "2", "--steps", "1", "--batch", "4"]
    command_line.main(["train", *words, "--faces", "60"])
    archive.store(blobs(12), folder / "samples.npy")
    command_line.main(["judge", "--folder", str(folder)])
    assert "judged against 60 cartoon faces" in capsys.readouterr().out
    command_line.main(["train", *words])  # goes on with the same


def test_an_archive_of_another_may_be_judged_against_anything_that_is_named(judged, tmp_path, capsys):
    folder, _ = judged
    archive.pack(blobs(archive.N), tmp_path / "a.tgz")
    words = ["judge", "--archive", str(tmp_path / "a.tgz"), "--size", "16"]
    command_line.main([*words, "--folder", str(folder), "--faces", "60"])
    command_line.main([*words, "--folder", str(tmp_path / "no run"), "--faces", "60"])
    assert capsys.readouterr().out.count("judged against 60 cartoon faces") == 2


# ---- The report ----


def test_the_report_holds_figures_of_the_run_and_the_answers_and_measures_once(judged, capsys, monkeypatch):
    folder, _ = judged
    monkeypatch.setattr(report, "STEPS", (2, 5, 60))  # more steps than the run has cannot be taken
    asked = ["report", "--folder", str(folder), "--n", "6"]
    command_line.main(asked)
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line.startswith("6 faces by")] == [
        f"6 faces by {steps} steps of {name}" for steps in (2, 5) for name in ("DDIM", "DDPM")
    ]
    stored = json.loads((folder / "samplers.json").read_text())
    assert (stored["samples"], len(stored["rows"])) == (6, 4)
    assert pages(folder / "report.pdf") == 4  # figures and words of two questions

    found = report.best(folder, learnt=1)
    assert found["fd_faces"] == min(row["fd_faces"] for row in stored["rows"])
    assert report.best(folder, learnt=2) is None  # it has learnt on since
    command_line.main([*typed(said, "sample"), "--n", "2"])
    eta = {"DDIM": 0, "DDPM": 1}[found["sampler"]]
    assert f"2 faces, each by {found['steps']} steps with eta {eta}\n" in capsys.readouterr().out

    monkeypatch.setattr(archive, "generate", None)  # nothing is sampled again
    answers = folder / "answers.md"
    answers.write_text(answers.read_text().replace(report.PROMPT, "word\n" * (report.LINES + 1)))
    command_line.main(asked)
    assert pages(folder / "report.pdf") == 6
    assert "samplers.partial" not in {path.name for path in folder.iterdir()}
    answers.write_text(answers.read_text().replace("# 2. DDPM", "DDPM"))
    with pytest.raises(SystemExit, match=r"has no line `# 2\. DDPM and DDIM` any more; put it back"):
        command_line.main(asked)


def pages(path):
    return path.read_bytes().count(b"/Type /Page ")


def test_a_report_that_was_stopped_goes_on_after_what_is_measured(judged, monkeypatch):
    folder, _ = judged
    monkeypatch.setattr(report, "STEPS", (2, 5))
    generate, asked = archive.generate, []

    def interrupted(model, n, *, steps, eta):
        if len(asked) == 3:
            asked.append("stop")
            raise KeyboardInterrupt
        asked.append((steps, eta))
        return generate(model, n, steps=steps, eta=eta, progress=False)

    monkeypatch.setattr(archive, "generate", interrupted)
    words = ["report", "--folder", str(folder), "--n", "6"]
    with pytest.raises(SystemExit, match="goes on after what is measured"):
        command_line.main(words)
    command_line.main(words)
    assert asked == [(2, 0.0), (2, 1.0), (5, 0.0), "stop", (5, 1.0)]


def test_shapes_and_details_settle_each_in_its_time():
    """A guess that first has the right shapes, and gets its details in two halves."""
    last = torch.zeros(2, 3, 16, 16)
    last[..., :8] = 1
    details = torch.zeros(16, 16)
    details[::2] = 0.2
    details[1::2] = -0.2
    guesses = torch.stack([torch.zeros_like(last), last, last + details / 2, last + details])
    found = report.settled(guesses)
    assert found["large shapes"].tolist() == pytest.approx([1, 0, 0, 0], abs=1e-3)
    _, begun, half, done = found["details"].tolist()
    assert begun > 0.5
    assert (half, done) == pytest.approx((begun / 2, 0), abs=1e-3)


def test_words_are_broken_between_words_and_between_chinese_characters():
    latin, chinese = "diffusion " * 30, "擴散模型" * 50
    lines = report._wrapped(f"{latin}\n\n{chinese}")
    assert [len(line) for line in lines[:3]] == [89, 89, 89]
    assert lines[4] == ""
    assert [len(line) for line in lines[5:]] == [46, 46, 46, 46, 16]
    assert "".join(lines[5:]) == chinese


def test_letters_that_no_font_here_has_are_named(monkeypatch):
    assert report._fonts("plain words") == [report.plt.rcParams["font.sans-serif"][0]]
    monkeypatch.setattr(report, "CHINESE", ())
    with pytest.warns(UserWarning, match="no font here can write 擴散: .*fonts-noto-cjk"):
        report._fonts("plain 擴散")


@pytest.mark.parametrize("command", ["train", "sample", "pack", "judge", "report", "reader"])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        command_line.main([command, "--help"])
    said = capsys.readouterr().out
    assert "usage" in said
    assert command == "train" or "--augment" not in said


def test_looking_at_the_package_costs_nothing():
    call("-c", "import helpers.homework, sys; assert not {'torch', 'accelerate'} & set(sys.modules)")
