"""``python -m helpers.homework``: train, sample, judge, pack and report, from the command line."""

import argparse
import dataclasses
import os
import sys
import warnings
from pathlib import Path

from helpers.homework import command_line

RUN = Path("runs/homework_6")


def main(arguments: list[str] | None = None) -> None:
    """Do what the command line asks; an error that the user can mend is one sentence and an exit code of 1."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    warnings.showwarning = _say
    try:
        options.command(options)
    except (OSError, ValueError, FloatingPointError, MemoryError, ImportError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        newest = "goes on from the newest checkpoint"
        goes_on = {_train: newest, _reader: newest, _report: "goes on after what is measured"}
        again = goes_on.get(options.command, "begins again")
        sys.exit(f"stopped; the same command {again}:\n{command_line(*arguments)}")


def _train(options: argparse.Namespace) -> None:
    from accelerate import PartialState

    from helpers.homework import run
    from helpers.pictures import device

    chosen = {field.name: getattr(options, field.name) for field in dataclasses.fields(run.Config)}
    config = run.Config(**chosen | {"augment": tuple(options.augment)})
    with PartialState(cpu=device().type == "cpu").main_process_first():  # it fills the cache, the others find it full
        learnt, _ = run.learnt_from(options.folder)
        data = _data(options, learnt, config.size)
    losses = run.train(
        config,
        data,
        options.folder,
        accumulate=options.accumulate,
        precision=options.precision,
        compiled=options.compile,
        save_every=options.save_every,
    )
    if int(os.environ.get("RANK", 0)) == 0:
        last = losses[-100:]
        print(f"{len(losses):,} steps, loss {sum(last) / len(last):.4f}. Next:\n{_next(options, 'sample')}")


def _sample(options: argparse.Namespace) -> None:
    from helpers import figures
    from helpers.homework import archive, report, run
    from helpers.pictures import to_float

    model, config, steps = run.load(options.folder)
    if steps < config.steps:
        print(f"this model has learnt for {steps:,} of {config.steps:,} steps; this goes on with it:")
        print(_next(options, "train", *_settings(config)))
    found = report.best(options.folder, steps) or {"steps": archive.STEPS, "sampler": "DDIM"}
    taken = found["steps"] if options.steps is None else options.steps
    eta = report.SAMPLERS[found["sampler"]] if options.eta is None else options.eta
    print(f"{options.n:,} faces, each by {taken} steps with eta {eta:g}")
    made = archive.generate(model, options.n, steps=taken, eta=eta, seed=options.seed, batch=options.batch)
    archive.store(made, options.folder / "samples.npy")
    sheet = figures.crowd(to_float(made[:64]), alt="The first of the samples", columns=16)
    sheet.image.save(options.folder / "samples.png")
    print(f"{len(made):,} faces in {options.folder / 'samples.npy'}; look at samples.png. Next:")
    print(*(_next(options, name) for name in ("judge", "pack", "report")), sep="\n")


def _pack(options: argparse.Namespace) -> None:
    from helpers.homework import archive

    if options.check:
        archive.read(options.check, size=options.size)
        print(f"{options.check} can be handed in")
        return
    made = archive.restore(options.folder / "samples.npy")
    if len(made) != archive.N:
        raise ValueError(
            f"the homework asks for {archive.N:,} faces, and there are {len(made):,}; "
            f"`{_next(options, 'sample')}` makes them"
        )
    path = options.folder / "submission.tgz"
    quality = archive.pack(made, path)
    print(
        f"{path}: {len(made):,} faces as JPEG of quality {quality}, {path.stat().st_size:,} bytes, read back and right"
    )


def _judge(options: argparse.Namespace) -> None:
    from helpers.homework import archive, score

    if options.archive:
        made = archive.read(options.archive, size=options.size)
    else:
        made = archive.restore(options.folder / "samples.npy")
    judge = score.Judge(_judged_against(options, made.shape[-1]))
    quality = archive.quality_that_fits(made)
    print(score.table({"these samples": judge.score(made), **judge.anchors(quality, len(made))}))
    if options.cascade:
        ours, real = (score.face_rate(some, options.cascade) for some in (made, judge.real))
        print(f"a face is found in {ours:.1%} of the samples, and in {real:.1%} of the real faces")
    if options.inception:
        n = min(len(made), len(judge.real))
        fid = score.inception_fid(made[:n], judge.real[:n], options.inception)
        floor = score.inception_fid(judge.fresh[:n], judge.real[:n], options.inception)
        print(f"FID of {n} samples {fid:.1f}, of as many other real faces {floor:.1f}")
    print("These are not the figures of the course's own scorer, which was never published.")


def _report(options: argparse.Namespace) -> None:
    from helpers.homework import report, run, score

    model, config, learnt = run.load(options.folder)
    judge = score.Judge(_judged_against(options, config.size))
    path = report.make(options.folder, model, config, learnt, judge, options.n)
    best = report.best(options.folder, learnt)
    print(f"{path} is there. Write your answers into {options.folder / 'answers.md'} and give the command again;")
    print("what was measured is kept. The lowest FD-faces was that of")
    print(f"{best['steps']} steps of {best['sampler']}, which are now the usual ones for\n{_next(options, 'sample')}")


def _reader(options: argparse.Namespace) -> None:
    from helpers.homework import score

    score.make_reader()


def _data(options: argparse.Namespace, learnt: dict[str, str | int] | None, size: int):
    """The pictures that the options name; without them what the run learnt from; without that cartoon faces."""
    from helpers.homework import data

    if options.data:
        return data.load(options.data, size)
    if options.faces:
        return data.load(n=options.faces, size=size)
    try:
        return data.load(**learnt or {}, size=size)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error} The run learnt from it; if it was moved, name it with --data.") from error


def _judged_against(options: argparse.Namespace, size: int):
    """The pictures that the run learnt from. An archive may be anybody's, and be judged against any that are named."""
    from helpers.homework import run

    learnt, fingerprint = run.learnt_from(options.folder)
    found = _data(options, learnt, size)
    named = options.data or options.faces
    if fingerprint not in (None, found.fingerprint) and not (options.archive and named):
        there = f" of {learnt['folder']}" if learnt and "folder" in learnt else ""
        raise ValueError(
            f"the run in {options.folder} learnt from other pictures, {fingerprint}{there}, and these are "
            f"{found.fingerprint}: the figures would mean nothing. Name those it learnt from with --data or --faces"
        )
    print("judged against", found.source.get("folder", f"{len(found.pictures):,} cartoon faces"))
    return found


def _next(options: argparse.Namespace, name: str, *more: object) -> str:
    return command_line(name, "--folder", options.folder, *more)


def _settings(config) -> list[object]:
    """The options of ``train`` that are not as usual."""
    words = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value != field.default:
            words += [_option(field.name), *(value if isinstance(value, tuple) else [value])]
    return words


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _parser() -> argparse.ArgumentParser:
    from helpers.homework.archive import STEPS
    from helpers.homework.run import SAVE_EVERY, Config

    parser = argparse.ArgumentParser(prog="python -m helpers.homework", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="train | sample | judge | pack | report | reader")

    def command(name: str, function, words: str) -> argparse.ArgumentParser:
        formatter = argparse.ArgumentDefaultsHelpFormatter
        made = commands.add_parser(name, help=words, description=words, formatter_class=formatter)
        made.set_defaults(command=function)
        if name != "reader":
            made.add_argument("--folder", type=Path, default=RUN, help="the folder of the run")
        if name in ("train", "judge", "report"):
            usual = "without --data and --faces what the run learnt from, and at first 10,000 cartoon faces"
            made.add_argument("--data", type=Path, help=f"a folder of faces, or a zip; {usual}")
            made.add_argument("--faces", type=int, help="how many cartoon faces")
        return made

    train = command("train", _train, "train, or go on with a training that was broken off")
    for field in dataclasses.fields(Config):
        name, several = _option(field.name), isinstance(field.default, tuple)
        kind = {"type": str, "nargs": "*"} if several else {"type": type(field.default)}
        train.add_argument(name, default=field.default, help=field.metadata["help"], **kind)
    train.add_argument("--accumulate", type=int, default=1, help="parts of a batch, one after the other: saves memory")
    kinds = "bf16 on GPUs that have it (since 2020), fp16 on older ones, as Colab's T4 and Kaggle's P100"
    train.add_argument("--precision", choices=["no", "bf16", "fp16"], default="no", help=kinds)
    train.add_argument("--compile", action="store_true", help="let torch.compile translate the network first")
    train.add_argument("--save-every", type=float, default=SAVE_EVERY, help="seconds between checkpoints")

    sample = command("sample", _sample, "make the thousand faces")
    sample.add_argument("--n", type=int, default=1000, help="how many faces")
    best = "what the report found best, or else"
    sample.add_argument("--steps", type=int, help=f"steps of denoising; {best} {STEPS}")
    sample.add_argument("--eta", type=float, help=f"0 for DDIM, 1 for DDPM; {best} 0")
    sample.add_argument("--seed", type=int, default=0, help="of the noise")
    sample.add_argument("--batch", type=int, default=100, help="faces at once")

    pack = command("pack", _pack, "make the archive that is handed in, or check one")
    pack.add_argument("--check", type=Path, metavar="ARCHIVE", help="an archive that is there, to be checked")
    pack.add_argument("--size", type=int, default=64, help="of the pictures in the archive to check")

    judge = command("judge", _judge, "judge the samples beside pictures that are known")
    judge.add_argument("--archive", type=Path, help="an archive to judge, instead of the samples of the run")
    judge.add_argument("--size", type=int, default=64, help="of the pictures in the archive")
    judge.add_argument("--cascade", type=Path, help="your lbpcascade_animeface.xml, to count faces found")
    judge.add_argument("--inception", type=Path, help="your weights of Inception, for the ordinary FID")

    report = command("report", _report, "make the figures of both questions, and a PDF with your answers")
    report.add_argument("--n", type=int, default=500, help="faces for each sampler and number of steps")

    command("reader", _reader, "train the network in whose features the judge measures; the course ships it")
    return parser


def _say(message, category, filename, lineno, file=None, line=None) -> None:
    from tqdm.auto import tqdm

    tqdm.write(f"note: {message}", file=sys.stderr)  # on a line of its own, though there may be a bar


if __name__ == "__main__":
    main()
