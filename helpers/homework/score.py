"""The local judge of homework 6, and the anchors without which its figures mean nothing.

The scorer of the course was never published: its figures are in the thousands, where the FID of the literature runs
from about 2 to a few hundred. So nothing here can say which baseline an archive passes. It can say which of two
archives is nearer to real faces, and whether one copies them.

FD-faces      the Frechet distance in the features of a small reader of cartoon faces; it is not the FID
KID           the squared maximum mean discrepancy in the same features, without bias for few pictures
precision     share of the samples that lie among real faces;  recall: share of real faces that lie among the samples
copied        share of the samples that are nearer to a training picture than all but 1 % of fresh real faces are

All are measured on equal numbers of samples and of real faces that no training saw. Lengths in the features are in
units of the spread of those real faces.
"""

import contextlib
import dataclasses
import functools
import hashlib
import io
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance
from tqdm.auto import tqdm

from helpers import faces
from helpers.homework import command_line
from helpers.homework.archive import jpeg, write
from helpers.homework.data import JUDGED, Faces
from helpers.pictures import CACHE, to_float
from helpers.training import train

WEIGHTS = Path(__file__).parent.parent.parent / "data" / "checkpoints" / "faces_reader.safetensors"
N_FEATURES = 64
SIZES = (32, 64)  # of the faces that the reader learns from
SIDE = 48  # pixels to which the reader brings every picture
BATCH = 250
READ = ("mood", "length", "colour", "glasses", "background", "skin", "haircut", "eyes", "mouth")
NEIGHBOURS = 3
FIRST_PERCENT = 0.01
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
REAL_SUMS = ("real_features_sum", "real_features_cov_sum", "real_features_num_samples")


class FaceReader(nn.Module):
    """Reads what a cartoon face looks like; the judge measures in the features that it reads by."""

    num_features = N_FEATURES  # torchmetrics asks for it

    def __init__(self, width: int = 40):
        super().__init__()

        def block(inside: int, outside: int, stride: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inside, outside, 3, stride, padding=1), nn.BatchNorm2d(outside), nn.SiLU(inplace=True)
            )

        self.trunk = nn.Sequential(
            nn.PixelUnshuffle(2),
            block(12, width, 1),  # 24 x 24
            block(width, 2 * width, 2),  # 12 x 12
            block(2 * width, 2 * width, 1),
            block(2 * width, 3 * width, 2),  # 6 x 6
            nn.Flatten(),
            nn.Linear(3 * width * 36, N_FEATURES),
        )
        self.answers = nn.Linear(N_FEATURES, sum(faces.CHOICES[name] for name in READ))

    def forward(self, pictures: Tensor) -> Tensor:
        """``(n, 3, s, s)`` in [0, 1] to the features, ``(n, 64)``."""
        pictures = F.interpolate(pictures, size=(SIDE, SIDE), mode="bilinear", antialias=True)
        return self.trunk(2 * pictures - 1)

    def read(self, pictures: Tensor) -> dict[str, Tensor]:
        """``(n, 3, s, s)`` in [0, 1] to logits ``(n, values)`` for each of ``READ``."""
        logits = self.answers(F.silu(self(pictures))).split([faces.CHOICES[name] for name in READ], dim=1)
        return dict(zip(READ, logits, strict=True))


@functools.cache
def reader() -> FaceReader:
    """The reader that the course ships.

    Raises:
        FileNotFoundError: it is missing.
    """
    if not WEIGHTS.exists():
        raise FileNotFoundError(f"{WEIGHTS} is missing; `{command_line('reader')}` makes it")
    network = FaceReader()
    # The counters of batch normalisation are not stored.
    network.load_state_dict({name: tensor.float() for name, tensor in load_file(WEIGHTS).items()}, strict=False)
    return network.eval().requires_grad_(False)


@dataclasses.dataclass(frozen=True)
class Score:
    """The figures of a set of pictures. ``nearest``: the median distance to the nearest training picture, where that
    of fresh real faces is 1."""

    fd_faces: float
    kid: float
    precision: float
    recall: float
    nearest: float
    copied: float

    def __str__(self) -> str:
        return (
            f"FD-faces {self.fd_faces:7.2f}   KID {self.kid:7.3f}   precision {self.precision:4.0%}   "
            f"recall {self.recall:4.0%}   nearest {self.nearest:.2f}   copied {self.copied:4.0%}"
        )


class Judge:
    """Judges samples against the real faces that no training saw.

    Args:
        data: the pictures that the samples should be like, at the same size as the samples.
    """

    def __init__(self, data: Faces):
        half = min(JUDGED, len(data.held_out) // 2)
        self.real = data.pictures[data.held_out[:half]]
        self.fresh = data.pictures[data.held_out[half : 2 * half]]
        self.data = data
        self._training = torch.cat([_thumbnails(data.pictures[rows]) for rows in data.training.split(BATCH)])
        self._usual = self._nearest(self.fresh)

    def score(self, pictures: Tensor) -> Score:
        """All figures of ``(n, 3, s, s)`` uint8. More pictures than there are real ones to compare with are left out.

        Raises:
            TypeError, ValueError: the pictures are not bytes, have another size, or are too few.
        """
        if pictures.dtype != torch.uint8:
            raise TypeError(f"the judge needs uint8 pictures in 0..255; these are {pictures.dtype}: try to_uint8")
        if pictures.shape[1:] != self.real.shape[1:]:
            raise ValueError(f"samples of shape {tuple(pictures.shape[1:])}, real faces {tuple(self.real.shape[1:])}")
        n = min(len(pictures), len(self.real))
        if n < 2 * NEIGHBOURS:
            raise ValueError(f"{n} pictures are too few to judge; the homework asks for {JUDGED}")
        pictures, real = pictures[:n], self.real[:n]
        features, real_features = _features(pictures), _features(real)
        unit = real_features.std(0).mean()  # a reader of cartoons may answer strongly or weakly to other faces
        features, real_features = features / unit, real_features / unit
        nearest = self._nearest(pictures)
        return Score(
            fd_faces=_metric(FrechetInceptionDistance, features, real_features),
            kid=_metric(KernelInceptionDistance, features, real_features, subsets=1, subset_size=n),
            precision=inside(features, real_features),
            recall=inside(real_features, features),
            nearest=(nearest.median() / self._usual.median()).item(),
            copied=(nearest < self._usual.quantile(FIRST_PERCENT)).float().mean().item(),
        )

    def anchors(self, quality: int = 75, n: int | None = None) -> dict[str, Score]:
        """What the figures are for pictures that are known.

        Args:
            quality: of the JPEGs.
            n: pictures of each kind. Distances depend on it: take as many as there are samples. All there are, if None.
        """
        fresh = self.fresh[:n]
        noise = torch.randint(0, 256, fresh.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        mean = self.real.float().mean(0).round().to(torch.uint8).expand_as(fresh).contiguous()
        known = {
            "other real faces": fresh,
            f"the same as JPEG {quality}": compressed(fresh, quality),
            "training pictures": self.data.pictures[self.data.training[: len(fresh)]],
            "the mean face": mean,
            "noise": noise,
        }
        return {name: self.score(pictures) for name, pictures in known.items()}

    def _nearest(self, pictures: Tensor) -> Tensor:
        """The distance of each picture, or of its mirror image, to the nearest training picture, ``(n,)``."""
        both = [torch.cdist(_thumbnails(some), self._training).amin(1) for some in (pictures, pictures.flip(-1))]
        return torch.minimum(*both)


def inside(some: Tensor, others: Tensor) -> float:
    """Share of some features ``(n, d)`` that lie among others ``(m, d)``.

    Among means: nearer to one of the others than that is to the third nearest of its own (Kynkäänniemi et al.,
    "Improved Precision and Recall Metric for Assessing Generative Models", NeurIPS 2019, eq. 1).
    """
    own = torch.cdist(others, others, compute_mode="donot_use_mm_for_euclid_dist")
    reach = own.kthvalue(NEIGHBOURS + 1, dim=1).values  # the nearest is itself
    return (torch.cdist(some, others) <= reach).any(1).float().mean().item()


def compressed(pictures: Tensor, quality: int) -> Tensor:
    """Pictures ``(n, 3, s, s)``, uint8, after they were stored as JPEG."""
    files = [Image.open(io.BytesIO(jpeg(picture, quality))) for picture in pictures]
    return torch.stack([torch.from_numpy(np.array(file)).movedim(-1, 0) for file in files])


def table(scores: dict[str, Score]) -> str:
    """Scores below each other, with their names."""
    width = max(map(len, scores))
    return "\n".join(f"{name:{width}}   {score}" for name, score in scores.items())


def _thumbnails(pictures: Tensor) -> Tensor:
    """``(n, 3, s, s)`` uint8 to ``(n, 768)``: what is left of a picture that anyone would take for the same."""
    return F.adaptive_avg_pool2d(to_float(pictures), min(16, pictures.shape[-1])).flatten(1)


def _features(pictures: Tensor) -> Tensor:
    return torch.cat([reader()(to_float(some)) for some in pictures.split(BATCH)])


class _Given(nn.Module):
    """Features that are known already, as torchmetrics wants a network for them."""

    num_features = N_FEATURES

    def forward(self, features: Tensor) -> Tensor:
        return features


def _metric(kind: type, features: Tensor, real: Tensor, **options: int) -> float:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Metric `Kernel Inception Distance`")  # it keeps all features; ours are few
        metric = kind(feature=_Given(), **options)
    metric.update(features, real=False)
    metric.update(real, real=True)
    value = metric.compute()
    return (value[0] if isinstance(value, tuple) else value).item()


# ---- With files that the learner has ----


def face_rate(pictures: Tensor, cascade: str | Path) -> float:
    """Share of ``(n, 3, s, s)``, uint8, in which a cascade finds a face. Real faces do not reach 1: ask for both.

    Faces that fill the picture defeat it, so an edge of a quarter is put around.

    Args:
        pictures: to look at.
        cascade: the learner's ``lbpcascade_animeface.xml`` (nagadomi, MIT licence).

    Raises:
        ImportError: OpenCV is missing, or is version 5, which has no cascades any more.
        ValueError: the file is no cascade.
    """
    try:
        import cv2

        detector = cv2.CascadeClassifier(str(cascade))
    except (ImportError, AttributeError) as error:
        raise ImportError("cascades need OpenCV below 5: pip install 'opencv-python-headless<5'") from error
    if detector.empty():
        raise ValueError(f"{cascade} is no cascade that OpenCV can read")
    edge = pictures.shape[-1] // 4
    found = 0
    for picture in pictures:
        grey = cv2.equalizeHist(cv2.cvtColor(picture.movedim(0, -1).contiguous().numpy(), cv2.COLOR_RGB2GRAY))
        padded = cv2.copyMakeBorder(grey, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
        found += len(detector.detectMultiScale(padded, scaleFactor=1.1, minNeighbors=5, minSize=(24, 24))) > 0
    return found / len(pictures)


def inception_fid(pictures: Tensor, real: Tensor, weights: str | Path, cache: Path = CACHE) -> float:
    """The ordinary FID of ``(n, 3, s, s)``, uint8, with 2,048 features of Inception.

    A thousand pictures leave most of a covariance of 2,048 numbers undetermined, so the value is far above that of the
    usual 50,000: compare it with that of as many real pictures only.

    Args:
        pictures, real: as many of each.
        weights: the learner's ``weights-inception-2015-12-05-6726825d.pth``.
        cache: where the mean and the covariance of the real ones are kept, 34 MB.

    Raises:
        FileNotFoundError, ValueError: there is no such file; it is another one, or broken.
        ImportError: torch-fidelity is missing.
    """
    with open(weights, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != INCEPTION_SHA256:
        raise ValueError(
            f"{weights} is not the network of the FID, or only part of it: its SHA-256 begins with {found[:8]} and not "
            f"with {INCEPTION_SHA256[:8]}. docs/homework.md says where to get it"
        )
    try:
        metric = FrechetInceptionDistance(feature=2048, feature_extractor_weights_path=str(weights))
    except ModuleNotFoundError as error:
        raise ImportError("the network of the FID is in torch-fidelity: pip install torch-fidelity") from error
    metric.to("cuda" if torch.cuda.is_available() else "cpu")  # its sums have 64 bits, which MPS has not
    known = cache / f"inception-{hashlib.sha256(real.contiguous().numpy()).hexdigest()[:16]}.safetensors"
    if known.exists():
        for name, value in load_file(known).items():
            setattr(metric, name, value.to(metric.device))
    else:
        _look(metric, real, real=True)
        sums = {name: getattr(metric, name).cpu() for name in REAL_SUMS}
        with contextlib.suppress(OSError):  # what cannot be kept is computed anew the next time
            write(known, lambda file: file.write(save(sums)))
    _look(metric, pictures, real=False)
    return metric.compute().item()


def _look(metric: FrechetInceptionDistance, pictures: Tensor, real: bool) -> None:
    for some in tqdm(pictures.split(50), desc="Inception", unit=" × 50", leave=False):
        metric.update(some.to(metric.device), real=real)


# ---- Making the reader ----


def reading_loss(network: FaceReader, rng: torch.Generator, n: int = 128) -> Tensor:
    """The loss for ``training.train``: to read faces of two sizes, looking either way, half of them under grain."""
    scenes = faces.sample_scenes(n, rng)
    pictures = faces.draw(scenes, SIZES[int(torch.randint(2, (), generator=rng))])
    pictures = torch.where(torch.rand(n, 1, 1, 1, generator=rng) < 0.5, pictures.flip(-1), pictures)
    grain = 0.1 * (2 * torch.rand(n, 1, 1, 1, generator=rng) - 1).clamp(min=0)
    pictures = pictures + grain * torch.randn(pictures.shape, generator=rng)
    logits = network.read(pictures)
    return sum(F.cross_entropy(logits[name], getattr(scenes, name)) for name in READ)


def make_reader(steps: int = 2_000) -> None:
    """Train the reader and keep it as 16-bit floats; a broken run goes on where it stopped."""
    torch.manual_seed(0)
    network = FaceReader()
    rng = torch.Generator().manual_seed(0)
    train(network, reading_loss, rng, steps=steps, checkpoint=CACHE / "faces_reader_in_training.pt")
    state = {name: tensor.half() for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
    write(WEIGHTS, lambda file: file.write(save(state, metadata={"made_by": "python -m helpers.homework reader"})))
    reader.cache_clear()
