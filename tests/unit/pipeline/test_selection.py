import gc

import numpy as np
import pytest
import torch

from mask2alpha import Mask2Alpha
from mask2alpha.errors import InputError
from mask2alpha.model.config import PRESETS
from mask2alpha.ops.prompt import Prompt
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.pipeline.selection import Tokens, continue_mask, find_reach, find_salience, fit_box, keep_pieces, select

SIZE = (80, 120)
GRID = (16, 24)
LEFT = (slice(20, 60), slice(10, 40))
RIGHT = (slice(20, 60), slice(80, 110))
"""Two things that stand out from a plain wall and look alike; tokens are 5 pixels wide."""


def region(*parts):
    mask = np.zeros(SIZE, bool)
    for part in parts:
        mask[part] = True
    return mask


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.fixture
def tokens() -> Tokens:
    is_thing = torch.from_numpy(region(LEFT, RIGHT)[2::5, 2::5].copy()).flatten()
    left = torch.from_numpy(region(LEFT)[2::5, 2::5].copy()).flatten()
    features = torch.stack([~is_thing, is_thing & left, is_thing & ~left, 2.0 * is_thing], dim=1).float()
    components = torch.stack([40.0 * is_thing - 20, 5.0 * left, torch.zeros(len(left))], dim=1)
    return Tokens(
        features=torch.nn.functional.normalize(features, dim=1), components=components, grid=GRID, spanned=SIZE
    )


def run(tokens, prompt=None, *, boxes=(), mask=None, scale="object"):
    return select(
        tokens,
        lambda rough: rough,  # a network that leaves the mask as it is
        size=SIZE,
        size_os4=(20, 30),
        prompt=prompt or Prompt(),
        boxes=boxes,
        mask=None if mask is None else torch.from_numpy(mask)[None, None].float(),
        scale=scale,
    ).numpy()


def click(*target, rest=()):
    return Prompt(target=tuple((point,) for point in target), rest=tuple((point,) for point in rest))


def test_a_click_selects_the_thing_under_it_alone(tokens):
    assert overlap(run(tokens, click((25, 40))), region(LEFT)) > 0.85
    assert overlap(run(tokens, click((95, 40))), region(RIGHT)) > 0.85


def test_a_click_selects_all_that_stands_out_at_the_scale_of_a_group(tokens):
    assert overlap(run(tokens, click((25, 40)), scale="group"), region(LEFT, RIGHT)) > 0.85


def test_a_click_on_a_part_selects_no_more_than_the_object(tokens):
    part, whole = run(tokens, click((25, 40)), scale="part"), run(tokens, click((25, 40)))
    assert part[40, 25]
    assert 0 < part.sum() <= whole.sum() * 1.2


def test_without_a_prompt_the_selection_is_what_stands_out(tokens):
    assert overlap(run(tokens), region(LEFT, RIGHT)) > 0.85


def test_a_second_click_adds_and_a_click_on_the_rest_takes_away(tokens):
    both = run(tokens, click((25, 40), (95, 40)))
    assert overlap(both, region(LEFT, RIGHT)) > 0.85
    assert overlap(run(tokens, click((25, 40), rest=((95, 40),)), scale="group"), region(LEFT)) > 0.8


def test_every_mark_holds_even_against_its_neighbours(tokens):
    target, rest = [(25, 40), (60, 5), (3, 77), (31, 41)], [(28, 40), (119, 79), (0, 0)]
    selected = run(tokens, click(*target, rest=rest))
    assert all(selected[int(y), int(x)] for x, y in target)
    assert not any(selected[int(y), int(x)] for x, y in rest)


def test_marks_hold_against_the_network(tokens):
    selected = select(
        tokens,
        lambda rough: 1 - rough,
        size=SIZE,
        size_os4=(20, 30),
        prompt=click((25, 40), rest=((60, 5),)),
        boxes=(),
        mask=None,
        scale="object",
    ).numpy()
    assert selected[40, 25]
    assert not selected[5, 60]


def test_a_box_holds_what_differs_from_its_surroundings(tokens):
    selected = run(tokens, boxes=[(4, 14, 46, 66)])
    assert overlap(selected, region(LEFT)) > 0.85
    assert not selected[:, 48:].any()


def test_two_boxes_select_what_both_hold(tokens):
    assert overlap(run(tokens, boxes=[(4, 14, 46, 66), (74, 14, 116, 66)]), region(LEFT, RIGHT)) > 0.85


def test_a_box_smaller_than_a_token_selects_nothing_outside_of_itself(tokens):
    selected = run(tokens, boxes=[(22, 40, 24, 42)])
    assert not (selected & ~region((slice(36, 48), slice(16, 32)))).any()
    assert torch.isfinite(fit_box(tokens, (22, 40, 24, 42), SIZE)).all()


def test_a_given_mask_changes_only_where_marks_reach(tokens):
    drawn = region(LEFT, (slice(4, 12), slice(60, 72)))
    selected = run(tokens, click((95, 40)), mask=drawn)
    assert overlap(selected, drawn | region(RIGHT)) > 0.8
    np.testing.assert_array_equal(run(tokens, mask=drawn), drawn)


def test_a_further_mark_of_the_target_adds_and_takes_nothing_away(tokens):
    first = run(tokens, click((25, 40)))
    both = run(tokens, click((25, 40), (95, 40)), mask=first)
    assert overlap(both, region(LEFT, RIGHT)) > 0.8
    assert both[first].all()


def test_a_further_mark_of_the_rest_takes_away_and_adds_nothing(tokens):
    first = run(tokens, click((25, 40)), scale="group")
    left = run(tokens, click((25, 40), rest=((95, 40),)), mask=first)
    assert overlap(left, region(LEFT)) > 0.8
    assert first[left].all()


def test_a_mark_that_agrees_with_the_mask_changes_nothing(tokens):
    drawn = region(LEFT, (slice(4, 12), slice(60, 72)))
    np.testing.assert_array_equal(run(tokens, click((25, 40), rest=((100, 70),)), mask=drawn), drawn)


def test_a_mark_near_the_border_of_the_mask_leaves_what_is_far_from_it(tokens):
    drawn = region((slice(10, 70), slice(5, 115)))
    selected = run(tokens, click(rest=((8, 14),)), mask=drawn)
    assert not selected[14, 8]
    assert (selected == drawn)[:, 60:].all()


def test_what_a_mark_of_the_rest_cuts_off_from_the_target_goes_as_well():
    masked = torch.zeros(1, 1, 20, 30, dtype=torch.bool)
    masked[..., 8:12, 2:28] = True
    near, target, rest = (torch.zeros_like(masked) for _ in range(3))
    near[..., 12:16] = True
    target[..., 10, 4] = rest[..., 10, 14] = True
    kept = continue_mask(masked, masked & ~near, target, rest, near=near)
    assert kept[..., 8:12, 2:12].all()
    assert not kept[..., 12:].any()


def test_a_mark_reaches_as_far_as_it_is_deep_in_what_the_mask_has_wrong(tokens):
    believed = torch.from_numpy(2.0 * region((slice(None), slice(0, 60)))[2::5, 2::5] - 1).float().flatten()
    count = [int(find_reach(tokens, believed, click(rest=(at,)), SIZE).sum()) for at in ((57, 40), (45, 40), (90, 40))]
    assert 0 < count[0] < count[1]
    assert count[2] == 0
    at_edge = int(find_reach(tokens, believed, click(rest=((45, 2),)), SIZE).sum())
    assert 0 < at_edge < count[1]


def test_a_box_up_to_the_photos_edge_holds_what_the_edge_cuts(tokens):
    cut = Tokens(
        features=tokens.features,
        components=torch.zeros(384, 3),  # nothing but the place tells the target
        grid=GRID,
        spanned=SIZE,
    )
    believed = fit_box(cut, (30, 40, 90, 80), SIZE).view(GRID)
    assert believed[15, 12] > believed[8, 12]
    assert believed[8, 12] > believed[8, 6]


def test_a_stroke_marks_all_that_it_crosses(tokens):
    selected = run(tokens, Prompt(target=(((25, 40), (95, 40)),), brush=4))
    assert selected[40, 25:96].all()
    assert selected[38:42, 60].all()


def test_a_selection_is_the_same_each_time(tokens):
    prompt = click((25, 40), rest=((95, 40),))
    np.testing.assert_array_equal(run(tokens, prompt), run(tokens, prompt))


def test_salience_is_zero_midway_between_nothing_and_otsus_threshold(tokens):
    salience = find_salience(tokens)
    assert salience.max() == 1
    assert salience.min() == -1
    plain = Tokens(features=tokens.features, components=torch.zeros(384, 1), grid=GRID, spanned=SIZE)
    assert (find_salience(plain) == 0).all()


def test_pieces_with_marks_of_the_rest_alone_are_dropped():
    pieces = torch.zeros(1, 1, 20, 30, dtype=torch.bool)
    pieces[..., 2:8, 2:8] = pieces[..., 12:18, 2:8] = pieces[..., 2:8, 20:28] = True
    target, rest = torch.zeros_like(pieces), torch.zeros_like(pieces)
    target[..., 4, 4] = rest[..., 14, 4] = True
    kept = keep_pieces(pieces, target, rest, is_free=False)
    assert kept[..., 4, 4].item()
    assert not kept[..., 12:18, 2:8].any()
    assert kept[..., 4, 24].item()
    assert not keep_pieces(pieces, target, rest, is_free=True)[..., 4, 24].item()


PHOTO = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    torch.manual_seed(0)
    return Predictor(Mask2Alpha(PRESETS["tiny_backbone"]), device="cpu", dtype=torch.float32)


def test_a_predictor_selects_from_an_encoding(predictor):
    encoded = predictor.encode(PHOTO)
    selected = predictor.select(encoded, points=[(30, 20)], not_points=[(60, 40)], strokes=[((5, 5), (9, 30))])
    assert selected.shape == (50, 70)
    assert selected.dtype == bool
    assert selected[20, 30]
    assert selected[30, 9]
    assert not selected[40, 60]
    assert not predictor.select(encoded, boxes=[(10, 10, 40, 40)], mask=PHOTO[..., 0] > 127)[:9].any()


@pytest.mark.parametrize(
    ("prompt", "complaint"),
    [
        ({"points": [(70, 10)]}, "target point .70, 10. is outside"),
        ({"not_points": [(1, -1)]}, "rest point .1, -1. is outside"),
        ({"boxes": [(1, 1, 5, 5), (9, 9, 9, 20)]}, "box .9, 9, 9, 20. covers nothing"),
        ({"strokes": [()]}, "has no point"),
        ({"points": [(3, 3)], "scale": "huge"}, "scale is 'huge'; accepted: part, object, group"),
        ({"points": [(3, 3)], "brush": 0}, "brush is 0"),
        ({"mask": np.ones((50, 70, 3))}, "mask of shape"),
    ],
)
def test_bad_prompts_are_refused(predictor, prompt, complaint):
    with pytest.raises(InputError, match=complaint):
        predictor.select(predictor.encode(PHOTO), **prompt)


def test_features_that_no_mask_changes_are_found_once_per_encoding_and_go_with_it(predictor):
    encoded = predictor.encode(PHOTO)
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        guide = predictor.model.guide
        patch.setattr(predictor.model, "guide", lambda *given: calls.append(1) or guide(*given))
        selections = [predictor.select(encoded, points=[(30, 20)]) for _ in range(2)]
        assert predictor.find_tokens(encoded).grid == encoded.encoding.token_grid
    assert len(calls) == 1
    assert np.array_equal(*selections)
    count = len(predictor._unguided)
    del encoded
    gc.collect()
    assert len(predictor._unguided) == count - 1


def test_a_large_photo_is_selected_in_at_a_smaller_size_with_the_same_tokens(predictor, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (150, 260, 3), dtype=np.uint8)
    encoded = predictor.encode(image)
    large = predictor.find_tokens(encoded)
    monkeypatch.setattr("mask2alpha.pipeline.predictor.SELECTION_SIDE", 128)
    again = predictor.encode(image)
    small = predictor.find_tokens(again)
    assert small.grid == large.grid
    assert small.spanned == large.spanned == (192, 320)
    torch.testing.assert_close(small.features, large.features)
    selection = predictor.select(again, points=[(200, 40)])
    assert selection.shape == (150, 260)
    assert selection[40, 200]
    assert predictor.predict(again, selection).alpha.shape == (150, 260)


def test_a_model_without_a_backbone_says_which_have_one():
    predictor = Predictor(Mask2Alpha(PRESETS["tiny"]), device="cpu", dtype=torch.float32)
    with pytest.raises(InputError, match="backbone, such as 'base'; this one is a 'conv_stem'"):
        predictor.select(predictor.encode(PHOTO), points=[(3, 3)])
