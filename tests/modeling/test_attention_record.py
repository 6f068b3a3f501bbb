"""Recorded attention: beside a softmax by loops, at the places of each scale, without touching the model."""

import math

import pytest
import torch
from torch import nn

from transavs.modeling.audio_query.attention_record import AttentionRecord, attention_weights, record_attention
from transavs.modeling.layers import AttentionLayer


@pytest.fixture
def layer():
    layer = AttentionLayer(8, 2)
    nn.init.normal_(layer.attention.in_proj_bias)
    return layer.eval()


@pytest.fixture
def inputs():
    """Queries, memory and their positions: 2 x 3 and 2 x 5 vectors of width 8."""
    return torch.randn(2, 3, 8), torch.randn(2, 5, 8), torch.randn(3, 8), torch.randn(5, 8)


def clip_of(num_frames=2, height=64, width=64):
    generator = torch.Generator().manual_seed(0)
    return {
        "images": torch.randint(256, (num_frames, 3, height, width), dtype=torch.uint8, generator=generator),
        "audio_log_mel": torch.randn(5, 1, 96, 64, generator=generator),
    }


@torch.no_grad()
def softmax_by_loops(layer, queries, memory, query_positions, memory_positions):
    weight, bias, width = layer.attention.in_proj_weight, layer.attention.in_proj_bias, 4
    result = torch.zeros(2, 3, 5)
    for b in range(2):
        for n in range(3):
            for head in range(2):
                rows = slice(head * width, (head + 1) * width)
                query = weight[:8][rows] @ (queries[b, n] + query_positions[n]) + bias[:8][rows]
                scores = []
                for m in range(5):
                    key = weight[8:16][rows] @ (memory[b, m] + memory_positions[m]) + bias[8:16][rows]
                    scores.append(math.exp(float(query @ key) / math.sqrt(width)))
                for m in range(5):
                    result[b, n, m] += scores[m] / sum(scores) / 2
    return result


def test_weights_are_those_of_a_softmax_by_loops(layer, inputs):
    weights = attention_weights(layer, *inputs)
    torch.testing.assert_close(weights, softmax_by_loops(layer, *inputs))
    assert not weights.requires_grad


def test_weights_are_those_of_pytorchs_own_attention(layer, inputs):
    queries, memory, query_positions, memory_positions = inputs
    _, expected = layer.attention(queries + query_positions, memory + memory_positions, memory)
    torch.testing.assert_close(attention_weights(layer, *inputs), expected)


def test_weights_stay_float32_under_autocast(layer, inputs):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        weights = attention_weights(layer, *(tensor.bfloat16() for tensor in inputs))
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, attention_weights(layer, *inputs), atol=0.02, rtol=0)


def test_every_layer_is_recorded_at_its_scale_and_sums_to_one(small_model):
    model = small_model("MODEL.TRANSAVS.DEC_LAYERS", 4)
    with torch.no_grad(), record_attention(model) as attention:
        model([clip_of(2, 64, 128), clip_of(1, 64, 128)])
    # Strides 32, 16, 8; layer l takes (l mod 3) + 1 (eq. 4).
    assert [tuple(maps.shape) for maps in attention.layers] == [(3, 6, 4, 8), (3, 6, 8, 16), (3, 6, 2, 4), (3, 6, 4, 8)]
    for maps in attention.layers:
        assert (maps >= 0).all()
        torch.testing.assert_close(maps.flatten(2).sum(-1), torch.ones(3, 6))
    assert attention.padded_size == (64, 128)


def test_recording_does_not_change_the_model_and_ends(small_model):
    model, clip = small_model(), clip_of()
    with torch.no_grad():
        plain = model([clip])[0]["sem_seg"]
        with record_attention(model) as attention:
            recorded = model([clip])[0]["sem_seg"]
            model([clip])  # the record is of the last run alone
        layers = attention.layers
        assert len(layers) == len(model.decoder.layers)
        model([clip_of(1)])
    assert torch.equal(plain, recorded)
    assert attention.layers is layers and layers[0].shape[0] == 2
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_hooks_go_after_an_error_too(small_model):
    model = small_model()
    with pytest.raises(RuntimeError, match="stop"), record_attention(model):
        raise RuntimeError("stop")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_query_sees_the_place_that_answers_it(small_model):
    """A level is zero but for one cell, whose key is the query's own direction: there the weight is the highest."""
    model = small_model("MODEL.TRANSAVS.DEC_LAYERS", 1)
    decoder, layer = model.decoder, model.decoder.layers[0].cross_attention
    dim = layer.attention.embed_dim
    with torch.no_grad():
        layer.attention.in_proj_weight[: 2 * dim] = torch.eye(dim).repeat(2, 1)
        levels = [torch.zeros(1, dim, size, size) for size in (2, 4, 8)]
        queries = torch.randn(1, 6, dim)
        levels[1][0, :, 2, 3] = 20 * (queries[0, 4] + decoder.query_positions[4])
        decoder.visual_projections = nn.ModuleList(nn.Identity() for _ in levels)
        with record_attention(model) as attention:
            decoder(queries, levels)
    assert attention.layers[0][0, 4].flatten().argmax() == 2 * 4 + 3


def test_maps_are_enlarged_over_the_frame_and_their_padding_is_cut():
    maps = torch.arange(6.0).view(1, 1, 2, 3)
    (enlarged,) = AttentionRecord([maps], padded_size=(4, 6)).over_frames(0, (3, 5))
    assert enlarged.tolist() == [[[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [3, 3, 4, 4, 5]]]


def test_a_decoder_without_such_layers_is_named():
    model = nn.Module()
    model.decoder = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="Linear has no DecoderLayer"), record_attention(model):
        pass
