"""Pictures of recorded attention: which queries they show, in which order, and where they are bright."""

import numpy as np
import torch
from detectron2.structures import Instances

from transavs import visualization
from transavs.modeling.audio_query import AttentionRecord
from transavs.visualization.attention import winning_queries
from transavs.visualization.canvas import GAP


def test_winning_queries_are_ordered_by_their_pixels_over_all_frames():
    def frame(*areas):
        masks = torch.zeros(len(areas), 4, 4, dtype=torch.bool)
        for mask, (_, area) in zip(masks, areas):
            mask.view(-1)[:area] = True
        queries = torch.tensor([query for query, _ in areas], dtype=torch.int64)
        return Instances((4, 4), pred_masks=masks, query_index=queries)

    assert winning_queries([frame((7, 5), (2, 3)), frame(), frame((2, 4), (9, 1))]) == [2, 7, 9]
    assert winning_queries([frame()]) == []


def test_heat_is_brightest_where_it_is_highest_over_a_grey_frame():
    frame = np.full((8, 8, 3), (200, 0, 0), dtype=np.uint8)
    heat = np.zeros((8, 8), dtype=np.float32)
    heat[2, 2], heat[4, 4] = 0.02, 0.01
    brightness = visualization.draw_heat(frame, heat).astype(int).sum(axis=-1)
    assert brightness[2, 2] > brightness[4, 4] > brightness[0, 0]
    assert np.array_equal(visualization.draw_heat(frame, heat), visualization.draw_heat(frame, 7 * heat))
    assert len(np.unique(visualization.draw_heat(frame, 0 * heat, opacity=0))) == 1


def test_attention_figure_shows_the_last_round_of_each_winning_query():
    frames = np.full((2, 32, 32, 3), 120, dtype=np.uint8)
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[10:30, 4:20] = True
    layers = [torch.full((2, 6, size, size), 1 / size**2) for size in (4, 2, 4, 2)]
    attention = AttentionRecord(layers, padded_size=(32, 32))
    heights = []
    for queries in ([], [5], [5, 2]):
        masks = torch.stack([mask, mask.flip(1)])[: len(queries)]
        scores = torch.full((len(queries),), 0.9)
        found = Instances(
            (32, 32), pred_masks=masks, query_index=torch.tensor(queries, dtype=torch.int64), scores=scores
        )
        figure = visualization.attention_figure(frames, [found, found], attention, cell=64)
        heights.append(visualization.figure_to_array(figure).shape[0])
    assert np.diff(heights).tolist() == [2 * (64 + GAP)] * 2  # two scales a query
    assert {"query 5", "query 2", "layer 3: 4 x 4", "layer 4: 2 x 2"} <= {text.get_text() for text in figure.texts}
    assert not any("layer 1" in text.get_text() for text in figure.texts)
