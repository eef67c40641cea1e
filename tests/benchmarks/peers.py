"""What one would otherwise pick, with the settings of its documentation. Each library is imported where it is used.

All get fresh dogs as ours do, drawn as part of the training. Those that can be told a class are told the caption.
"""

import contextlib
import io
import math
import time
import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers import dogs, palette
from helpers.homework import data
from helpers.pictures import to_float, to_uint8

SIZE = 16
STEPS = 20  # of DDIM, as ours
CLASSES = {caption: number for number, caption in enumerate(dogs.LANGUAGE.captions)}
WARMUP = 0.05  # share of the budget, for those whose documentation asks for a warm-up


def warmup_and_cosine(done: float) -> float:
    """The share of the highest learning rate after a share ``done`` of the budget."""
    return done / WARMUP + 0.01 if done < WARMUP else 0.5 * (1 + math.cos(math.pi * (done - WARMUP) / (1 - WARMUP)))


class Peer:
    """A model in training. Subclasses make ``model``, ``optimizer`` and ``batch``, and say what loss and sample are.

    Args:
        seed: of all chance.
        seconds: of work that the training will take in all, for schedules.
    """

    batch: int
    clip: float | None = None  # the greatest length of a gradient
    schedule = None  # of the learning rate, if any: from the share of the budget that is used up to a factor

    def __init__(self, seed: int, seconds: float):
        torch.manual_seed(seed)
        self.rng = torch.Generator().manual_seed(seed)
        self.seconds, self.spent = seconds, 0.0

    def dogs(self) -> tuple[Tensor, list[str]]:
        """A fresh batch ``(n, 3, 16, 16)`` in [0, 1], with captions that fit."""
        captions = dogs.LANGUAGE.sample(self.batch, self.rng)
        return dogs.draw(dogs.sample_scenes(captions, self.rng), SIZE), captions

    def loss(self) -> Tensor:
        """Of a fresh batch."""
        raise NotImplementedError

    def after_step(self) -> None:
        """What follows a step of the optimiser, such as averaging weights."""

    def step(self) -> None:
        """One step of training."""
        self.optimizer.zero_grad()
        self.loss().backward()
        if self.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        self.after_step()

    def train(self, seconds: float) -> int:
        """Go on for so many seconds of work; returns the number of steps."""
        start, before, steps = time.process_time(), self.spent, 0
        while (now := time.process_time() - start) < seconds:
            self.spent = before + now
            if self.schedule:
                for group in self.optimizer.param_groups:
                    group["lr"] = group.setdefault("initial_lr", group["lr"])
                    group["lr"] *= type(self).schedule(min(1.0, self.spent / self.seconds))
            self.step()
            steps += 1
        self.spent = before + time.process_time() - start
        return steps

    def sample(self, captions: list[str], rng: torch.Generator) -> Tensor:
        """As many pictures as captions, ``(n, 3, s, s)`` in [0, 1]."""
        raise NotImplementedError


def _numbers(captions: list[str]) -> Tensor:
    return torch.tensor([CLASSES[caption] for caption in captions])


class DenoisingDiffusion(Peer):
    """lucidrains' library, with what its ``Trainer`` does at each step."""

    batch, clip = 32, 1.0

    def __init__(self, seed: int, seconds: float, lr: float):
        super().__init__(seed, seconds)
        from denoising_diffusion_pytorch import GaussianDiffusion, Unet

        network = Unet(dim=32, dim_mults=(1, 2, 4))
        self._prepare(GaussianDiffusion(network, image_size=SIZE, timesteps=1000, sampling_timesteps=STEPS), lr)

    def _prepare(self, model: nn.Module, lr: float) -> None:
        from ema_pytorch import EMA

        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters(), lr=lr, betas=(0.9, 0.99))
        self.average = EMA(model, beta=0.995, update_every=10)

    def loss(self) -> Tensor:
        return self.model(self.dogs()[0])

    def after_step(self) -> None:
        self.average.update()

    @torch.no_grad()
    def sample(self, captions: list[str], rng: torch.Generator) -> Tensor:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            return self.average.ema_model.eval().sample(batch_size=len(captions)).clamp(0, 1)


class OfficialHomework(DenoisingDiffusion):
    """The model and the settings of homework 6's official sample code."""

    batch = 16

    def __init__(self, seed: int, seconds: float):
        Peer.__init__(self, seed, seconds)
        from denoising_diffusion_pytorch import GaussianDiffusion, Unet

        self.data = data.load()
        options = {"timesteps": 100, "beta_schedule": "linear", "objective": "pred_noise"}
        network = Unet(dim=16, dim_mults=(1, 2, 4))
        self._prepare(GaussianDiffusion(network, image_size=64, sampling_timesteps=STEPS, **options), lr=1e-3)

    def loss(self) -> Tensor:
        rows = torch.randint(len(self.data.training), (self.batch,), generator=self.rng)
        return self.model(to_float(self.data.pictures[self.data.training[rows]]))

    def sample(self, captions: list[str], rng: torch.Generator) -> Tensor:
        """Faces as uint8."""
        parts = [super(OfficialHomework, self).sample(captions[i : i + 50], rng) for i in range(0, len(captions), 50)]
        return to_uint8(torch.cat(parts))


class Diffusers(Peer):
    """The tutorial "Train a diffusion model" of diffusers, with the averaging of its example script."""

    batch, clip, schedule = 16, 1.0, warmup_and_cosine

    def __init__(self, seed: int, seconds: float, lr: float):
        super().__init__(seed, seconds)
        from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
        from diffusers.training_utils import EMAModel

        self.model = UNet2DModel(
            sample_size=SIZE,
            layers_per_block=2,
            block_out_channels=(32, 64, 64),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            num_class_embeds=len(CLASSES),
        )
        self.noise = DDPMScheduler(num_train_timesteps=1000)
        self.sampler = DDIMScheduler.from_config(self.noise.config)
        self.sampler.set_timesteps(STEPS)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=lr)
        self.average = EMAModel(self.model.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)

    def loss(self) -> Tensor:
        pictures, captions = self.dogs()
        noise = torch.randn(pictures.shape, generator=self.rng)
        t = torch.randint(0, 1000, (len(pictures),), generator=self.rng)
        noisy = self.noise.add_noise(2 * pictures - 1, noise, t)
        return F.mse_loss(self.model(noisy, t, class_labels=_numbers(captions)).sample, noise)

    def after_step(self) -> None:
        self.average.step(self.model.parameters())

    @torch.no_grad()
    def sample(self, captions: list[str], rng: torch.Generator) -> Tensor:
        parameters = list(self.model.parameters())
        self.average.store(parameters)
        self.average.copy_to(parameters)
        x = torch.randn(len(captions), 3, SIZE, SIZE, generator=rng)
        for t in self.sampler.timesteps:
            x = self.sampler.step(self.model(x, t, class_labels=_numbers(captions)).sample, t, x).prev_sample
        self.average.restore(parameters)
        return ((x + 1) / 2).clamp(0, 1)


class Normflows(Peer):
    """Glow as in the example notebook of normflows."""

    batch = 64
    LEVELS, STEPS_A_LEVEL, HIDDEN = 2, 8, 256

    def __init__(self, seed: int, seconds: float):
        super().__init__(seed, seconds)
        import normflows

        bases, merges, flows = [], [], []
        for level in range(self.LEVELS):
            channels, side = 3 * 2 ** (self.LEVELS + 1 - level), SIZE // 2 ** (self.LEVELS - level)
            glow = [
                normflows.flows.GlowBlock(channels, self.HIDDEN, split_mode="channel", scale=True)
                for _ in range(self.STEPS_A_LEVEL)
            ]
            flows.append([*glow, normflows.flows.Squeeze()])
            if level:
                merges.append(normflows.flows.Merge())
            shape = (channels // 2 if level else channels, side, side)
            bases.append(normflows.distributions.ClassCondDiagGaussian(shape, len(CLASSES)))
        self.model = normflows.MultiscaleFlow(bases, flows, merges)
        self.optimizer = torch.optim.Adamax(self.model.parameters(), lr=1e-3, weight_decay=1e-5)

    def loss(self) -> Tensor:
        pictures, captions = self.dogs()
        grain = torch.rand(pictures.shape, generator=self.rng) / 256
        return self.model.forward_kld(pictures * 255 / 256 + grain, _numbers(captions))

    @torch.no_grad()
    def sample(self, captions: list[str], rng: torch.Generator) -> Tensor:
        pictures, _ = self.model.sample(y=_numbers(captions))
        return torch.nan_to_num(pictures).clamp(0, 1)


class Pythae(Peer):
    """A VAE of pythae, with the convolutions that it has for CIFAR, fitted to 16 x 16."""

    batch = 64
    LATENT = 16

    def __init__(self, seed: int, seconds: float):
        super().__init__(seed, seconds)
        from pythae.models import VAE, VAEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder

        def down(inside: int, outside: int) -> list[nn.Module]:
            return [nn.Conv2d(inside, outside, 4, 2, padding=1), nn.BatchNorm2d(outside), nn.ReLU()]

        def up(inside: int, outside: int) -> list[nn.Module]:
            return [nn.ConvTranspose2d(inside, outside, 4, 2, padding=1), nn.BatchNorm2d(outside), nn.ReLU()]

        class Encoder(BaseEncoder):
            def __init__(self):
                super().__init__()
                self.trunk = nn.Sequential(*down(3, 64), *down(64, 128), *down(128, 256), nn.Flatten())
                self.mean, self.log_var = (nn.Linear(256 * 4, Pythae.LATENT) for _ in range(2))

            def forward(self, x: Tensor) -> ModelOutput:
                h = self.trunk(x)
                return ModelOutput(embedding=self.mean(h), log_covariance=self.log_var(h))

        class Decoder(BaseDecoder):
            def __init__(self):
                super().__init__()
                self.trunk = nn.Sequential(
                    nn.Linear(Pythae.LATENT, 256 * 16),
                    nn.Unflatten(1, (256, 4, 4)),
                    *up(256, 128),
                    *up(128, 64),
                    nn.Conv2d(64, 3, 3, padding=1),
                    nn.Sigmoid(),
                )

            def forward(self, z: Tensor) -> ModelOutput:
                return ModelOutput(reconstruction=self.trunk(z))

        config = VAEConfig(input_dim=(3, SIZE, SIZE), latent_dim=self.LATENT)
        self.model = VAE(config, encoder=Encoder(), decoder=Decoder())
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.sampler = None

    def loss(self) -> Tensor:
        return self.model({"data": self.dogs()[0]}).loss

    def train(self, seconds: float) -> int:
        """And fit the mixture from which z is drawn, to 5,000 dogs."""
        from pythae.samplers import GaussianMixtureSampler, GaussianMixtureSamplerConfig

        self.model.train()
        steps = super().train(seconds)
        self.model.eval()
        scenes = dogs.sample_scenes(5000, self.rng)
        self.sampler = GaussianMixtureSampler(self.model, GaussianMixtureSamplerConfig(n_components=10))
        # It asks for one value that is exactly 1.
        self.sampler.fit(dogs.draw(scenes, SIZE).index_fill(0, torch.tensor([0]), 1.0))
        return steps

    @torch.no_grad()
    def sample(self, captions: list[str], rng: torch.Generator) -> Tensor:
        return self.sampler.sample(num_samples=len(captions)).clamp(0, 1)


class DCGAN(Peer):
    """DCGAN (Radford, Metz and Chintala 2016) with the settings of PyTorch's tutorial, for 16 x 16 pixels."""

    batch = 128
    LATENT, WIDTH = 100, 64

    def __init__(self, seed: int, seconds: float):
        super().__init__(seed, seconds)
        width = self.WIDTH
        generator = nn.Sequential(
            nn.ConvTranspose2d(self.LATENT, 4 * width, 4, bias=False),  # 4 x 4
            nn.BatchNorm2d(4 * width),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, padding=1, bias=False),  # 8 x 8
            nn.BatchNorm2d(2 * width),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(2 * width, 3, 4, 2, padding=1, bias=False),  # 16 x 16
            nn.Tanh(),
        )
        discriminator = nn.Sequential(
            nn.Conv2d(3, 2 * width, 4, 2, padding=1, bias=False),  # 8 x 8
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * width, 4 * width, 4, 2, padding=1, bias=False),  # 4 x 4
            nn.BatchNorm2d(4 * width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(4 * width, 1, 4, bias=False),
            nn.Flatten(0),
        )
        self.model = nn.ModuleDict({"generator": generator, "discriminator": discriminator})
        for module in self.model.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)
        self.optimizers = {
            name: torch.optim.Adam(part.parameters(), lr=2e-4, betas=(0.5, 0.999)) for name, part in self.model.items()
        }

    def _made(self, n: int, rng: torch.Generator) -> Tensor:
        return self.model["generator"](torch.randn(n, self.LATENT, 1, 1, generator=rng))

    def step(self) -> None:
        """One step of each player: first the discriminator, then the generator."""
        real, made = 2 * self.dogs()[0] - 1, self._made(self.batch, self.rng)
        judge = self.model["discriminator"]
        self.optimizers["discriminator"].zero_grad()
        (F.softplus(-judge(real)).mean() + F.softplus(judge(made.detach())).mean()).backward()
        self.optimizers["discriminator"].step()
        self.optimizers["generator"].zero_grad()
        F.softplus(-judge(made)).mean().backward()
        self.optimizers["generator"].step()

    @torch.no_grad()
    def sample(self, captions: list[str], rng: torch.Generator) -> Tensor:
        return (self._made(len(captions), rng) + 1) / 2


class Transformers(Peer):
    """GPT-2 of transformers, over the caption's words and then our palette's colours."""

    batch, schedule = 8, warmup_and_cosine

    def __init__(self, seed: int, seconds: float):
        super().__init__(seed, seconds)
        from transformers import GPT2Config, GPT2LMHeadModel

        self.palette = palette.fit(dogs.draw(dogs.sample_scenes(2000, self.rng), SIZE), 64, self.rng)
        self.words = dogs.LANGUAGE.tokens(dogs.LANGUAGE.captions[:1]).shape[1]
        self.others = list(range(len(self.palette), len(self.palette) + 1 + len(dogs.LANGUAGE.vocabulary)))
        config = GPT2Config(
            vocab_size=len(self.palette) + len(self.others),
            n_positions=self.words + SIZE**2,
            n_embd=128,
            n_layer=4,
            n_head=2,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
        )
        self.model = GPT2LMHeadModel(config)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=3e-3, betas=(0.9, 0.95))

    def _said(self, captions: list[str]) -> Tensor:
        return dogs.LANGUAGE.tokens(captions) + len(self.palette)

    def loss(self) -> Tensor:
        pictures, captions = self.dogs()
        colours = palette.to_tokens(pictures, self.palette)
        sequence = torch.cat([self._said(captions), colours], dim=1)
        labels = sequence.clone()
        labels[:, : self.words] = -100  # only the pixels count
        return self.model(input_ids=sequence, labels=labels).loss

    @torch.no_grad()
    def sample(self, captions: list[str], rng: torch.Generator) -> Tensor:
        said = self._said(captions)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sequence = self.model.eval().generate(
                said,
                attention_mask=torch.ones_like(said),
                max_new_tokens=SIZE**2,
                do_sample=True,
                top_k=0,
                suppress_tokens=self.others,
                pad_token_id=self.others[0],
                use_cache=True,
            )
        self.model.train()
        return palette.to_pictures(sequence[:, self.words :], self.palette)
