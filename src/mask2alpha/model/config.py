"""Frozen configurations of the three stages, and the named presets."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from mask2alpha.errors import InputError

DEFAULT_MODEL = "base"
"""The shipped model that every command uses by default."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """Stage 1, the mask-guided encoder; it works on the image at half resolution (paper 3.1)."""

    kind: Literal["conv_stem", "backbone", "vit_adapter"] = "conv_stem"
    """`conv_stem`: residual convolutions, ViT blocks on the last map. `backbone`: residual convolutions beside a
    frozen, published ViT. `vit_adapter`: ViT with a ViT-Adapter."""
    stem_channels: tuple[int, ...] = (32, 64, 96, 192)
    """Channels of the stem's maps at strides 2, 4, 8, ... of the half-resolution input (`conv_stem`, `backbone`);
    for `vit_adapter` only the first is used: the width of the spatial prior."""
    stem_blocks: tuple[int, ...] = (6, 6, 5, 1)
    """Residual blocks at each stride (`conv_stem`, `backbone`)."""
    patch_size: int = 16
    """Pixels of the half-resolution input per token and side; 14 or 16."""
    embed_dim: int = 192
    """Token dimension."""
    depth: int = 6
    """Transformer blocks; the last is the guided one."""
    num_heads: int = 3
    """Attention heads; must divide `embed_dim`."""
    mlp_ratio: float = 4.0
    """Hidden width of the blocks' MLP over `embed_dim`."""
    positions: Literal["absolute", "relative", "conv"] = "conv"
    """`absolute`: an interpolated table (DINOv2). `relative`: a bias per head and block (BEiT).
    `conv`: a depth-wise convolution on the token map (any size, for small models)."""
    position_grid: int = 14
    """Side, in tokens, of the grid that the position table was trained for (37 for DINOv2, 14 for BEiTv2)."""
    num_register_tokens: int = 0
    """Extra learnt tokens beside [CLS] (DINOv2 with registers: 4)."""
    has_class_token: bool = False
    """Whether a [CLS] token leads the sequence."""
    has_key_bias: bool = True
    """False for BEiT, whose key projection has no bias."""
    has_final_norm: bool = True
    """Whether a LayerNorm follows the last block."""
    layer_scale: bool = True
    """Whether each residual branch is scaled per channel."""
    layer_norm_eps: float = 1e-6
    """Epsilon of the layer norms (1e-6 DINOv2, 1e-12 BEiT in transformers)."""
    adapter_heads: int = 6
    """Heads of the adapter's deformable attention (`vit_adapter`)."""
    adapter_points: int = 4
    """Sampling points of the adapter's deformable attention (`vit_adapter`)."""
    image_mean: tuple[float, float, float] = IMAGENET_MEAN
    """Mean subtracted from the [0, 1] image, per channel."""
    image_std: tuple[float, float, float] = IMAGENET_STD
    """Standard deviation dividing it, per channel."""
    backbone: str | None = None
    """Name of the published weights that the ViT has (`backbone`); they have a file of their own. None: the ViT's
    weights are saved with all others."""
    token_budget: int = 1200
    """About how many patches the ViT sees, whatever the size and shape of the photo (`backbone`)."""
    num_components: int = 32
    """Components of the guided tokens on which the semantic evidence is fitted (`backbone`)."""
    least_side: int = 0
    """Photos whose longer side is at most this, in pixels, are matted at twice their size, and those up to 3/2 of
    this at 3/2 of theirs (`ops/working_size.py`). 0: no photo is."""
    has_guidance: bool = True
    """MGFSM, the mask-guided scaling in the last block (off: the paper's Table 3 ablation)."""

    def __post_init__(self) -> None:
        if self.embed_dim % self.num_heads:
            raise InputError(f"num_heads must divide embed_dim; got {self.num_heads} and {self.embed_dim}")
        if self.patch_size not in (14, 16):
            raise InputError(f"patch_size must be 14 or 16; got {self.patch_size}")
        if self.kind != "vit_adapter" and len(self.stem_channels) != len(self.stem_blocks):
            raise InputError("stem_channels and stem_blocks must have one entry per stride")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """Stage 2, iterative decoding at a quarter of the resolution (paper 3.2)."""

    fused_channels: int = 32
    """Channels of the feature map at H/4 that every step reads."""
    pyramid_channels: int = 96
    """Channels on the way down to it, at the coarsest strides."""
    step_channels: int = 16
    """Channels of a decoder step at H/4."""
    step_channels_os8: int = 32
    """Channels of a decoder step at H/8."""
    num_steps: int = 2
    """Default number of iterations T; a run-time choice."""
    is_iterative: bool = True
    """False: a single pass that never sees a state (the paper's Table 4 row "none")."""
    has_colour_cues: bool = True
    """Whether the fusion and the steps read the colour cues."""
    has_semantic_cue: bool = False
    """Whether they also read the semantic evidence, from the backbone's tokens."""
    trust_channels: int = 0
    """Channels of the adapter for masks that are believed more than usual (`RunOptions.trust`); 0: there is none."""
    trimap_channels: int = 0
    """Channels of the adapter for trimaps (`RunOptions.is_decided`); 0: there is none."""
    token_channels: int = 0
    """Channels of the backbone's guided tokens, which join the pyramid at strides 16 and 32; 0: none join."""
    num_corrections: int = 0
    """How many times at most the first step's matte corrects the mask where they contradict each other far from the
    mask's border (`stage2_decoding/correction.py`); a run-time choice."""
    update: Literal["formula", "sticky"] = "formula"
    """`formula`: fine pixels follow the newest prediction. `sticky`: they keep the value they turned fine with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailConfig:
    """Stage 3, sparse detail recovery at full resolution (paper 3.3)."""

    selection: Literal["none", "shm", "sgsdr"] = "sgsdr"
    """`sgsdr`: where the predicted error is above a threshold. `shm`: SparseMat's dilated band. `none`: no detail."""
    channels: tuple[int, int] = (48, 32)
    """Channels of the sparse residual network: of its wide blocks, and of the narrow ones between them."""
    feature_channels: int = 8
    """Channels of the decoder's features handed to each active cell."""
    has_colour_cues: bool = True
    """Whether the network reads the colour cues of the pixels of each active cell."""
    error_threshold: float = 0.02
    """tau: default threshold on the predicted error; a run-time choice."""

    def __post_init__(self) -> None:
        if not 0 <= self.error_threshold <= 1:
            raise InputError(f"error_threshold must be in [0, 1]; got {self.error_threshold}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The whole network: one configuration per stage."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    detail: DetailConfig = field(default_factory=DetailConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as stored in a checkpoint's metadata."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelConfig":
        """The inverse of `to_dict`; lists (from JSON) become tuples.

        Raises:
            InputError: A key is missing from, or unknown to, this version.
        """
        parts = {"encoder": EncoderConfig, "decoder": DecoderConfig, "detail": DetailConfig}
        if set(values) != set(parts):
            raise InputError(f"a model configuration has the keys {sorted(parts)}; got {sorted(values)}")
        built: dict[str, Any] = {}
        for name, part in parts.items():
            tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in values[name].items()}
            try:
                built[name] = part(**tuples)
            except TypeError as error:
                raise InputError(f"the model configuration's part {name!r} does not fit: {error}") from error
        return cls(**built)


_DINOV2_SMALL = EncoderConfig(
    kind="vit_adapter",
    stem_channels=(64,),
    patch_size=14,
    embed_dim=384,
    depth=12,
    num_heads=6,
    positions="absolute",
    position_grid=37,
    has_class_token=True,
)
_TINY_DECODER = DecoderConfig(fused_channels=16, pyramid_channels=24, step_channels=8, step_channels_os8=16)
_TINY_DETAIL = DetailConfig(channels=(8, 8), feature_channels=4)
_WIDE_DETAIL = DetailConfig(channels=(96, 64), feature_channels=16)
_WIDE_DECODER = DecoderConfig(
    fused_channels=64, pyramid_channels=192, step_channels=48, step_channels_os8=96, num_steps=10
)

PRESETS: dict[str, ModelConfig] = {
    "tiny": ModelConfig(
        encoder=EncoderConfig(
            stem_channels=(8, 16, 24, 32), stem_blocks=(1, 1, 1, 1), embed_dim=32, depth=2, num_heads=2
        ),
        decoder=_TINY_DECODER,
        detail=_TINY_DETAIL,
    ),
    "tiny_backbone": ModelConfig(
        encoder=EncoderConfig(
            kind="backbone",
            stem_channels=(8, 16, 24),
            stem_blocks=(1, 1, 1),
            patch_size=14,
            embed_dim=32,
            depth=2,
            num_heads=2,
            positions="absolute",
            position_grid=5,
            has_class_token=True,
            token_budget=24,
            num_components=4,
        ),
        decoder=replace(_TINY_DECODER, has_semantic_cue=True, trust_channels=8, trimap_channels=8, token_channels=32),
        detail=_TINY_DETAIL,
    ),
    "small": ModelConfig(),
    "base": ModelConfig(
        encoder=replace(
            _DINOV2_SMALL,
            kind="backbone",
            backbone="dinov2_small",
            stem_channels=(32, 64, 96),
            stem_blocks=(6, 6, 5),
            least_side=640,
            token_budget=900,
        ),
        decoder=DecoderConfig(
            has_semantic_cue=True, trust_channels=32, trimap_channels=32, token_channels=384, num_corrections=1
        ),
    ),
    "dinov2_small": ModelConfig(encoder=_DINOV2_SMALL, detail=DetailConfig(channels=(32, 32))),
    "dinov2_base": ModelConfig(
        encoder=replace(_DINOV2_SMALL, embed_dim=768, num_heads=12, adapter_heads=12),
        decoder=_WIDE_DECODER,
        detail=_WIDE_DETAIL,
    ),
    "beitv2_base": ModelConfig(
        encoder=EncoderConfig(
            kind="vit_adapter",
            stem_channels=(64,),
            embed_dim=768,
            depth=12,
            num_heads=12,
            positions="relative",
            position_grid=14,
            has_class_token=True,
            has_key_bias=False,
            has_final_norm=False,
            layer_norm_eps=1e-12,
            adapter_heads=12,
            image_mean=HALF,
            image_std=HALF,
        ),
        decoder=_WIDE_DECODER,
        detail=_WIDE_DETAIL,
    ),
}
"""Named models. `base` and `small` ship with weights, `tiny` and `tiny_backbone` are for tests, `beitv2_base` is the
paper's."""
