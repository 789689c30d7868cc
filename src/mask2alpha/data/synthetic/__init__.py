"""Synthetic foregrounds with exact alpha, drawn on the fly: bodies, fur, hair, feathers, plants, nets, smoke, glass.

Everything is drawn with a random generator, and with photos as textures, so that a training run never runs out of
cut-outs. A cut-out is composited as `alpha * colour + (1 - alpha) * background`, so its alpha is exact.
"""

import numpy as np

from mask2alpha.data.cutout import Cutout, TextureSource
from mask2alpha.data.synthetic.bodies import make_body
from mask2alpha.data.synthetic.edges import EDGES, extend_colour, photograph
from mask2alpha.data.synthetic.haired import feathered, furry, haired
from mask2alpha.data.synthetic.plants import bush, flower, grass, plant, twigs
from mask2alpha.data.synthetic.structures import Maker, cables, glass, net, pompom, smoke, web, wicker
from mask2alpha.data.synthetic.wisps import wispy

__all__ = ["KINDS", "make_cutout"]


def solid(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """A body with one of the edges of `EDGES`."""
    body = make_body(rng, size, textures)
    weights = np.array([weight for _, weight in EDGES.values()])
    soften = list(EDGES.values())[int(rng.choice(len(EDGES), p=weights / weights.sum()))][0]
    return Cutout(extend_colour(body.colour, body.alpha), soften(rng, body.alpha))


KINDS: dict[str, tuple[Maker, float]] = {
    "solid": (solid, 0.10),
    "furry": (furry, 0.13),
    "haired": (haired, 0.11),
    "wispy": (wispy, 0.155),
    "feathered": (feathered, 0.05),
    "grass": (grass, 0.03),
    "plant": (plant, 0.06),
    "bush": (bush, 0.09),
    "flower": (flower, 0.05),
    "twigs": (twigs, 0.03),
    "net": (net, 0.05),
    "web": (web, 0.04),
    "glass": (glass, 0.015),
    "wicker": (wicker, 0.03),
    "cables": (cables, 0.02),
    "pompom": (pompom, 0.02),
    "smoke": (smoke, 0.02),
}
"""Name of each kind of foreground: the function that draws it and its share of the mixture."""


def make_cutout(rng: np.random.Generator, size: int, textures: TextureSource, kind: str | None = None) -> Cutout:
    """Draw a random foreground.

    Args:
        rng: Random numbers; the same state gives the same cut-out.
        size: Side of the square picture [px], at least 64.
        textures: Source of photos for surfaces.
        kind: A key of `KINDS`; None draws one by its share.

    Returns:
        Colours (size, size, 3) and alpha (size, size); alpha is somewhere above one half.

    Raises:
        ValueError: `size` is below 64 or `kind` is unknown.
    """
    if size < 64:
        raise ValueError(f"size is {size}; expected at least 64")
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; expected one of {sorted(KINDS)}")
    names = list(KINDS)
    shares = np.array([share for _, share in KINDS.values()])
    while True:
        name = kind if kind is not None else names[int(rng.choice(len(names), p=shares / shares.sum()))]
        cutout = photograph(rng, KINDS[name][0](rng, size, textures))
        if np.count_nonzero(cutout.alpha > 127) > size * size // 200:  # some fall out of the picture
            return cutout
