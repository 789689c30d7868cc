"""The networks of transformers are built tiny and with random weights; Meta's predictors are fakes."""

import numpy as np
import pytest
import torch

from mask2alpha.errors import InputError
from mask2alpha.prompts.makers import make_mask_maker
from mask2alpha.prompts.prompt import Prompt
from mask2alpha.prompts.sam import POINTS_PER_STROKE, Sam, SamPredictor, sam_points

IMAGE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
BOX_AND_POINTS = Prompt(box_xyxy=(8, 8, 40, 40), target=(((20, 20),),), rest=(((60, 4),),))


def test_strokes_become_labelled_points():
    points, labels = sam_points(Prompt(target=(((1, 2),), ((3, 4), (5, 6))), rest=(((7, 8),),)))
    assert points.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
    assert labels.tolist() == [1, 1, 1, 0]


def test_a_long_stroke_is_thinned_out_at_equal_distances():
    stroke = tuple((x, 5) for x in [*range(30), 69, 70])
    points, _ = sam_points(Prompt(target=(stroke,)))
    assert points[:, 0].tolist() == np.linspace(0, 70, POINTS_PER_STROKE, dtype=np.float32).tolist()


def test_something_must_be_pointed_at():
    with pytest.raises(InputError, match="a box around the target or a point on it"):
        SamPredictor(FakePredictor()).make_mask(IMAGE, Prompt(rest=(((1, 1),),)))


class FakePredictor:
    """The interface of `SamPredictor` and `SAM2ImagePredictor`: three masks for an ambiguous prompt, else one."""

    def set_image(self, image):
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        self.size = image.shape[:2]

    def predict(self, point_coords=None, point_labels=None, box=None, mask_input=None, multimask_output=True):
        self.asked = {"points": point_coords, "labels": point_labels, "box": box, "multimask": multimask_output}
        masks = np.zeros((3 if multimask_output else 1, *self.size), np.float32)
        for index, mask in enumerate(masks):
            mask[: index + 1] = 1
        return masks, np.array([0.1, 0.9, 0.5])[: len(masks)], masks[:, :16, :16]


def test_metas_predictors_get_a_prompt_in_their_form():
    predictor = FakePredictor()
    mask = SamPredictor(predictor).make_mask(IMAGE, BOX_AND_POINTS)
    assert predictor.asked["points"].tolist() == [[20, 20], [60, 4]]
    assert predictor.asked["labels"].tolist() == [1, 0]
    assert predictor.asked["box"].tolist() == [8, 8, 40, 40]
    assert not predictor.asked["multimask"]
    assert (mask == 255).sum() == 64  # the first row


def test_of_the_masks_for_a_single_point_the_surest_is_taken():
    mask = SamPredictor(FakePredictor()).make_mask(IMAGE, Prompt(target=(((20, 20),),)))
    assert (mask == 255).sum() == 2 * 64


def test_a_box_alone_has_no_points():
    predictor = FakePredictor()
    SamPredictor(predictor).make_mask(IMAGE, Prompt(box_xyxy=(8, 8, 40, 40)))
    assert predictor.asked["points"] is predictor.asked["labels"] is None


def save_tiny_sam(folder):
    from transformers import SamConfig, SamImageProcessorPil, SamModel, SamProcessor

    side = 64
    config = SamConfig(
        vision_config={
            "hidden_size": 16,
            "output_channels": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": side,
            "patch_size": 16,
            "global_attn_indexes": [1],
            "window_size": 2,
            "mlp_dim": 16,
            "num_pos_feats": 8,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": side, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 16, "num_attention_heads": 2, "mlp_dim": 16, "iou_head_hidden_dim": 16},
    )
    SamModel(config).save_pretrained(folder)
    SamProcessor(
        SamImageProcessorPil(size={"longest_edge": side}, pad_size={"height": side, "width": side})
    ).save_pretrained(folder)


def save_tiny_sam2(folder):
    pytest.importorskip("torchvision", reason="the processor of SAM 2 needs it")
    from transformers import (
        Sam2Config,
        Sam2HieraDetConfig,
        Sam2ImageProcessor,
        Sam2Model,
        Sam2Processor,
        Sam2VisionConfig,
    )

    side = 128
    backbone = Sam2HieraDetConfig(
        hidden_size=16,
        image_size=[side, side],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[16, 32, 64, 128],
        num_attention_heads_per_stage=[1, 1, 2, 4],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[128, 64, 32, 16],
        backbone_feature_sizes=[[side // 4] * 2, [side // 8] * 2, [side // 16] * 2],
        fpn_hidden_size=32,
    )
    config = Sam2Config(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 32, "image_size": side, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2, "mlp_dim": 32, "iou_head_hidden_dim": 32},
    )
    Sam2Model(config).save_pretrained(folder)
    Sam2Processor(Sam2ImageProcessor(size={"height": side, "width": side})).save_pretrained(folder)


@pytest.mark.slow
@pytest.mark.parametrize("save", [save_tiny_sam, save_tiny_sam2], ids=["sam", "sam2"])
@pytest.mark.parametrize(
    "prompt",
    [Prompt(box_xyxy=(8, 8, 40, 40)), Prompt(target=(((20, 20),),)), BOX_AND_POINTS],
    ids=["box", "point", "both"],
)
def test_networks_of_transformers_answer_in_the_photographs_size(save, prompt, tmp_path):
    torch.manual_seed(1)
    save(tmp_path)
    maker = make_mask_maker(f"sam:{tmp_path}", device="cpu")
    assert isinstance(maker, Sam)
    mask = maker._segment(IMAGE, prompt)  # of random weights, so it may be empty
    assert mask.shape == (48, 64)
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 255}


@pytest.mark.slow  # imports transformers
def test_what_is_no_sam_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be loaded as SAM"):
        Sam(str(tmp_path))
