"""Encoder (eq. 1-3) and decoder (eq. 4-6) against loops in float64, written from the formulas."""
import math

import pytest
import torch

from transavs.modeling.audio_query import AudioQueryEncoder, AudioVisualDecoder
from transavs.modeling.layers import AttentionLayer, sine_positions

T, N, D, HEADS = 4, 5, 8, 2


def make_encoder(**changes):
    arguments = dict(audio_dim=6, num_frames=T, num_queries=N, dim=D, num_layers=2, num_heads=HEADS, feedforward_dim=12)
    torch.manual_seed(0)
    return AudioQueryEncoder(**{**arguments, **changes}).double()


def make_decoder(num_layers=4, visual_dim=D):
    torch.manual_seed(0)
    return AudioVisualDecoder(visual_dim, num_levels=3, num_queries=N, dim=D, num_layers=num_layers, num_heads=HEADS,
                              feedforward_dim=12).double()


def naive_attention(layer, queries, memory, query_positions, memory_positions):
    """softmax(Q K^T / sqrt(d)) V for each head and query by itself, the output map, residual and norm."""
    attention, d_head = layer.attention, D // HEADS
    w_q, w_k, w_v = attention.in_proj_weight.chunk(3)
    b_q, b_k, b_v = attention.in_proj_bias.chunk(3)
    q, k, v = (queries + query_positions) @ w_q.T + b_q, (memory + memory_positions) @ w_k.T + b_k, memory @ w_v.T + b_v
    rows = []
    for i in range(len(queries)):
        heads = []
        for h in range(HEADS):
            part = slice(h * d_head, (h + 1) * d_head)
            scores = torch.stack([(q[i, part] * k[j, part]).sum() / math.sqrt(d_head) for j in range(len(memory))])
            weight = scores.exp() / scores.exp().sum()
            heads.append(sum(weight[j] * v[j, part] for j in range(len(memory))))
        rows.append(torch.cat(heads) @ attention.out_proj.weight.T + attention.out_proj.bias)
    return layer.norm(queries + torch.stack(rows))


def naive_feed_forward(layer, queries):
    first, last = layer.map[0], layer.map[3]
    return layer.norm(queries + (queries @ first.weight.T + first.bias).clamp(min=0) @ last.weight.T + last.bias)


def naive_encoder(encoder, audio, w1):
    queries = torch.stack([sum(w1[n, t] * encoder.audio_projection(audio[t]) for t in range(T)) for n in range(N)])
    positions = encoder.query_positions
    for attention, feed_forward in zip(encoder.self_attention, encoder.feed_forward):
        queries = naive_attention(attention, queries, queries, positions, positions)
        queries = naive_feed_forward(feed_forward, queries)
    return queries


def test_attention_is_that_of_eq_2():
    torch.manual_seed(0)
    layer = AttentionLayer(D, HEADS).double()
    queries, memory = torch.randn(N, D).double(), torch.randn(7, D).double()
    query_positions, memory_positions = torch.randn(N, D).double(), torch.randn(7, D).double()
    found = layer(queries[None], memory[None], query_positions, memory_positions)[0]
    torch.testing.assert_close(found, naive_attention(layer, queries, memory, query_positions, memory_positions))


def test_the_clips_queries_are_w1_times_the_audio_refined():
    encoder, audio = make_encoder(), torch.randn(2, T, 6).double()
    clip_of_frame = torch.tensor([0, 0, 1])
    found = encoder(audio, clip_of_frame, torch.tensor([0, 3, 1]))
    expected = [naive_encoder(encoder, audio[clip], encoder.disentangle.weight) for clip in clip_of_frame]
    torch.testing.assert_close(found, torch.stack(expected))


def test_frame_context_meets_the_sound_relative_to_the_frames_own_second():
    encoder, audio = make_encoder(audio_context="frame"), torch.randn(1, T, 6).double()
    assert encoder.disentangle.weight.shape == (N, 2 * T - 1)
    found = encoder(audio, torch.zeros(T, dtype=torch.int64), torch.arange(T))
    for second in range(T):
        w1 = torch.stack([encoder.disentangle.weight[:, t - second + T - 1] for t in range(T)], dim=1)
        torch.testing.assert_close(found[second], naive_encoder(encoder, audio[0], w1))


def test_in_frame_context_the_same_sound_a_second_later_gives_the_same_first_queries():
    encoder = make_encoder(audio_context="frame", num_layers=0)
    encoder.audio_projection.bias.data.zero_()
    audio = torch.zeros(2, T, 6).double()
    audio[0, 1], audio[1, 2] = 1.0, 1.0
    queries = encoder(audio, torch.tensor([0, 1]), torch.tensor([1, 2]))
    torch.testing.assert_close(queries[0], queries[1])


def test_an_unknown_context_names_the_key():
    with pytest.raises(ValueError, match="MODEL.TRANSAVS.AUDIO_CONTEXT is 'video'"):
        make_encoder(audio_context="video")


def test_the_decoder_is_eq_4_to_6():
    decoder, queries = make_decoder(), torch.randn(2, N, D).double()
    levels = [torch.randn(2, D, h, w).double() for h, w in ((1, 2), (2, 3), (4, 2))]
    found = decoder(queries, levels)
    assert len(found) == 4
    for frame in range(2):
        fused = queries[frame]
        for number in range(1, 5):
            i = number % 3 + 1  # eq. 4: f2, f3, f1, f2
            visual = levels[i - 1][frame].flatten(1).T + decoder.level_embedding[i - 1]
            positions = sine_positions(*levels[i - 1].shape[-2:], D).double()
            layer, own = decoder.layers[number - 1], decoder.query_positions
            fused = naive_attention(layer.cross_attention, fused, visual, own, positions)
            fused = naive_attention(layer.self_attention, fused, fused, own, own)
            fused = naive_feed_forward(layer.feed_forward, fused)
            torch.testing.assert_close(found[number - 1][frame], fused, rtol=1e-6, atol=1e-6)


def test_layers_take_the_scales_in_the_order_f2_f3_f1():
    decoder, queries = make_decoder(num_layers=3), torch.randn(1, N, D).double()
    levels = [torch.randn(1, D, 2, 2).double().requires_grad_() for _ in range(3)]
    first = torch.autograd.grad(decoder(queries, levels)[0].square().sum(), levels, allow_unused=True)
    second = torch.autograd.grad(decoder(queries, levels)[1].square().sum(), levels, allow_unused=True)
    assert [gradient is not None for gradient in first] == [False, True, False]
    assert [gradient is not None for gradient in second] == [False, True, True]


def test_visual_features_of_another_width_are_projected():
    decoder = make_decoder(visual_dim=3)
    levels = [torch.randn(1, 3, 2, 2).double() for _ in range(3)]
    assert decoder(torch.randn(1, N, D).double(), levels)[-1].shape == (1, N, D)


def test_sine_positions_by_hand():
    positions = sine_positions(2, 3, 8).unflatten(0, (2, 3))
    y, x = 2 * math.pi * 1 / 2, 2 * math.pi * 2 / 3  # row 0, column 1
    expected = [math.sin(y), math.cos(y), math.sin(y / 100), math.cos(y / 100),
                math.sin(x), math.cos(x), math.sin(x / 100), math.cos(x / 100)]
    torch.testing.assert_close(positions[0, 1], torch.tensor(expected), rtol=1e-5, atol=1e-5)
