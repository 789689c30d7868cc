import numpy as np
import pytest
from PIL import Image

from mask2alpha.errors import InputError
from mask2alpha.prompts.prompt import Prompt
from mask2alpha.prompts.segments import Segments

IMAGE = np.zeros((8, 10, 3), np.uint8)
"""Black; the fake pipeline finds things all the same."""


def region(rows, columns):
    mask = np.zeros((8, 10), bool)
    mask[rows, columns] = True
    return mask


PERSON = region(slice(1, 8), slice(1, 4))
FACE = region(slice(1, 3), slice(1, 4))
CAT = region(slice(4, 8), slice(6, 9))
EVERYTHING = region(slice(0, 8), slice(0, 10))
NAMED = {"person": PERSON, "cat": CAT, "background": EVERYTHING & ~PERSON & ~CAT}


def named_pipeline(picture):
    """As "image-segmentation" answers."""
    assert isinstance(picture, Image.Image)
    return [
        {"label": label, "score": None, "mask": Image.fromarray(mask * np.uint8(255))} for label, mask in NAMED.items()
    ]


def unnamed_pipeline(picture):
    """As "mask-generation" answers: the masks overlap."""
    return {"masks": [PERSON, FACE, CAT, EVERYTHING], "scores": [0.9, 0.8, 0.9, 0.7]}


@pytest.mark.parametrize(
    ("pipeline", "prompt", "expected"),
    [
        (named_pipeline, Prompt(label="Cat"), CAT),
        (named_pipeline, Prompt(target=(((2, 5),),)), PERSON),
        (named_pipeline, Prompt(target=(((2, 5),), ((7, 5),))), PERSON | CAT),
        (named_pipeline, Prompt(box_xyxy=(5, 3, 10, 8)), CAT),
        (named_pipeline, Prompt(label="person", box_xyxy=(0, 0, 10, 7)), PERSON & region(slice(0, 7), slice(0, 10))),
        (unnamed_pipeline, Prompt(target=(((2, 2),),)), FACE),
        (unnamed_pipeline, Prompt(target=(((2, 2), (2, 6)),)), PERSON),
        (unnamed_pipeline, Prompt(target=(((2, 2), (7, 6)),), rest=(((5, 0),),)), FACE),
        (unnamed_pipeline, Prompt(box_xyxy=(0, 0, 5, 8)), PERSON | FACE),
    ],
    ids=["label", "point", "two points", "box", "label and box", "smallest", "whole stroke", "rest", "box, unnamed"],
)
def test_the_prompt_chooses(pipeline, prompt, expected):
    mask = Segments(pipeline).make_mask(IMAGE, prompt)
    np.testing.assert_array_equal(mask, expected * np.uint8(255))


def test_a_single_segment_needs_no_prompt():
    maker = Segments(lambda _: [{"label": "foreground", "mask": Image.fromarray(CAT * np.uint8(255))}])
    np.testing.assert_array_equal(maker.make_mask(IMAGE) > 0, CAT)


@pytest.mark.parametrize(
    ("prompt", "complaint"),
    [
        (Prompt(), r"several segments \(background, cat, person\)"),
        (Prompt(label="dog"), r"none of the segments found \(background, cat, person\)"),
        (Prompt(target=(((2, 5),),), rest=(((2, 6),),)), "none of the segments"),
    ],
)
def test_says_what_there_is_where_nothing_fits(prompt, complaint):
    with pytest.raises(InputError, match=complaint):
        Segments(named_pipeline).make_mask(IMAGE, prompt)


def test_a_photograph_without_segments_is_an_error():
    with pytest.raises(InputError, match="found no segment"):
        Segments(lambda _: []).make_mask(IMAGE)


@pytest.mark.slow
def test_a_pipeline_of_transformers(tmp_path):
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    names = {0: "background", 1: "cat"}
    config = SegformerConfig(
        num_encoder_blocks=4,
        depths=[1, 1, 1, 1],
        hidden_sizes=[4, 4, 4, 4],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=4,
        id2label=names,
        label2id={name: index for index, name in names.items()},
    )
    network = SegformerForSemanticSegmentation(config).eval()
    network.decode_head.classifier.weight.data.zero_()
    network.decode_head.classifier.bias.data = network.decode_head.classifier.bias.data.new_tensor([0.0, 1.0])
    network.save_pretrained(tmp_path)
    SegformerImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    mask = Segments(str(tmp_path), device="cpu").make_mask(IMAGE, Prompt(label="cat"))
    assert (mask == 255).all()
