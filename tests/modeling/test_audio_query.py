"""Encoder (eq. 1-3) and decoder (eq. 4-6) against loops in float64, written from the formulas."""

import math

import pytest
import torch

from transavs.modeling.audio_query import AudioQueryEncoder, AudioVisualDecoder, LearnedQueryEncoder
from transavs.modeling.layers import AttentionLayer, FeedForwardLayer, sine_positions

T, N, D, HEADS = 4, 5, 8, 2


def make_encoder(encoder=AudioQueryEncoder, **changes):
    sizes = {"audio_dim": 6, "num_frames": T, "num_queries": N, "dim": D, "feedforward_dim": 12}
    torch.manual_seed(0)
    return encoder(**{**sizes, "num_layers": 2, "num_heads": HEADS, **changes}).double()


def make_decoder(num_layers=4, visual_dim=D):
    torch.manual_seed(0)
    return AudioVisualDecoder(
        visual_dim, num_levels=3, num_queries=N, dim=D, num_layers=num_layers, num_heads=HEADS, feedforward_dim=12
    ).double()


def naive_linear(layer, rows):
    return torch.stack([layer.bias + sum(row[i] * layer.weight[:, i] for i in range(len(row))) for row in rows])


def naive_norm(norm, rows):
    result = []
    for row in rows:
        mean = sum(row) / len(row)
        variance = sum((x - mean) ** 2 for x in row) / len(row)
        result.append((row - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias)
    return torch.stack(result)


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
        rows.append(torch.cat(heads))
    return naive_norm(layer.norm, queries + naive_linear(attention.out_proj, rows))


def naive_feed_forward(layer, queries):
    hidden = naive_linear(layer.map[0], queries).clamp(min=0)
    return naive_norm(layer.norm, queries + naive_linear(layer.map[3], hidden))


def naive_positions(height, width):
    """DETR's sines and cosines, cell by cell: of y in the first half, of x in the second."""

    def wave(place):
        angles = [2 * math.pi * place / 10000 ** (4 * i / D) for i in range(D // 4)]
        return [f(angle) for angle in angles for f in (math.sin, math.cos)]

    cells = [wave((y + 1) / height) + wave((x + 1) / width) for y in range(height) for x in range(width)]
    return torch.tensor(cells, dtype=torch.float64)


def naive_encoder(encoder, audio, w1):
    features = naive_linear(encoder.audio_projection, audio)
    queries = torch.stack([sum(w1[n, t] * features[t] for t in range(T)) for n in range(N)])
    positions = encoder.query_positions
    for attention, feed_forward in zip(encoder.self_attention, encoder.feed_forward):
        queries = naive_attention(attention, queries, queries, positions, positions)
        queries = naive_feed_forward(feed_forward, queries)
    return queries


def set_norms(module):
    """Gives every norm a scale and a shift of its own; as built they are 1 and 0."""
    for norm in module.modules():
        if isinstance(norm, torch.nn.LayerNorm):
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.normal_(norm.bias)
    return module


def check_gradients(module, *inputs):
    """Finite differences of all parameters and of the inputs that take a gradient, in random directions."""
    names, parameters = zip(*module.named_parameters())

    def run(*tensors):
        given = dict(zip(names, tensors))
        return torch.func.functional_call(module, given, tensors[len(names) :])

    assert torch.autograd.gradcheck(run, (*parameters, *inputs), fast_mode=True)


def test_attention_is_that_of_eq_2():
    torch.manual_seed(0)
    layer = set_norms(AttentionLayer(D, HEADS).double())
    queries, memory = torch.randn(N, D).double(), torch.randn(7, D).double()
    query_positions, memory_positions = torch.randn(N, D).double(), torch.randn(7, D).double()
    found = layer(queries[None], memory[None], query_positions, memory_positions)[0]
    torch.testing.assert_close(found, naive_attention(layer, queries, memory, query_positions, memory_positions))


def test_feed_forward_is_two_maps_with_a_residual():
    torch.manual_seed(0)
    layer, queries = set_norms(FeedForwardLayer(D, 12).double()), torch.randn(N, D).double()
    torch.testing.assert_close(layer(queries), naive_feed_forward(layer, queries))


def test_the_first_queries_are_eq_1():
    encoder, audio = make_encoder(num_layers=0), torch.randn(1, T, 6).double()
    w1, projection = encoder.disentangle.weight, encoder.audio_projection
    assert w1.shape == (N, T) and encoder.disentangle.bias is None
    found = encoder(audio, torch.tensor([0]), torch.tensor([0]))[0]
    for n in range(N):
        expected = sum(w1[n, t] * (projection.weight @ audio[0, t] + projection.bias) for t in range(T))
        torch.testing.assert_close(found[n], expected)


def test_the_clips_queries_are_w1_times_the_audio_refined():
    encoder, audio = set_norms(make_encoder()), torch.randn(2, T, 6).double()
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


@pytest.mark.parametrize("context", ["clip", "frame"])
def test_learned_queries_hear_the_sound_by_cross_attention(context):
    encoder = set_norms(make_encoder(LearnedQueryEncoder, audio_context=context, num_layers=0))
    audio, clip_of_frame, second_of_frame = torch.randn(2, T, 6).double(), [0, 0, 1], [0, 3, 1]
    found = encoder(audio, torch.tensor(clip_of_frame), torch.tensor(second_of_frame))
    for frame, (clip, second) in enumerate(zip(clip_of_frame, second_of_frame)):
        features = naive_linear(encoder.audio_projection, audio[clip])
        columns = range(T) if context == "clip" else [t - second + T - 1 for t in range(T)]
        seconds = torch.stack([encoder.second_positions[column] for column in columns])
        layer = encoder.audio_attention
        expected = naive_attention(layer, encoder.queries, features, encoder.query_positions, seconds)
        torch.testing.assert_close(found[frame], expected)


def test_learned_queries_are_refined_as_audio_queries_are_and_every_parameter_learns():
    encoder, bare = (make_encoder(LearnedQueryEncoder, num_layers=layers) for layers in (2, 0))
    bare.load_state_dict(encoder.state_dict(), strict=False)
    audio, clip, second = torch.randn(1, T, 6).double(), torch.tensor([0]), torch.tensor([0])
    found = encoder(audio, clip, second)
    torch.testing.assert_close(found, encoder._refine(bare(audio, clip, second)))
    found.square().sum().backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []


def test_the_decoder_is_eq_4_to_6():
    decoder, queries = set_norms(make_decoder()), torch.randn(2, N, D).double()
    levels = [torch.randn(2, D, h, w).double() for h, w in ((1, 2), (2, 3), (4, 2))]
    found = decoder(queries, levels)
    assert len(found) == 4
    for frame in range(2):
        fused = queries[frame]
        for number in range(1, 5):
            i = number % 3 + 1  # eq. 4: f2, f3, f1, f2
            visual = levels[i - 1][frame].flatten(1).T + decoder.level_embedding[i - 1]
            positions = naive_positions(*levels[i - 1].shape[-2:])
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


def test_visual_features_of_another_width_are_projected_each_scale_by_its_own_map():
    decoder, plain = make_decoder(visual_dim=3), make_decoder()
    plain.load_state_dict({k: v for k, v in decoder.state_dict().items() if not k.startswith("visual_projections")})
    levels = [torch.randn(1, 3, 2, 2).double() for _ in range(3)]
    queries = torch.randn(1, N, D).double()
    projected = [
        naive_linear_of_channels(projection, level) for projection, level in zip(decoder.visual_projections, levels)
    ]
    torch.testing.assert_close(decoder(queries, levels)[-1], plain(queries, projected)[-1])


def naive_linear_of_channels(convolution, level):
    weight = convolution.weight[:, :, 0, 0]
    result = torch.empty(len(level), len(weight), *level.shape[-2:], dtype=level.dtype)
    for f, y, x in torch.cartesian_prod(*(torch.arange(level.shape[axis]) for axis in (0, 2, 3))).tolist():
        result[f, :, y, x] = weight @ level[f, :, y, x] + convolution.bias
    return result


def test_sine_positions_by_hand():
    positions = sine_positions(2, 3, 8).unflatten(0, (2, 3))
    y, x = 2 * math.pi * 1 / 2, 2 * math.pi * 2 / 3  # row 0, column 1
    expected = [
        math.sin(y),
        math.cos(y),
        math.sin(y / 100),
        math.cos(y / 100),
        math.sin(x),
        math.cos(x),
        math.sin(x / 100),
        math.cos(x / 100),
    ]
    torch.testing.assert_close(positions[0, 1], torch.tensor(expected), rtol=1e-5, atol=1e-5)


def test_sine_positions_are_those_of_each_cell():
    for height, width in ((1, 1), (2, 5), (7, 3)):
        torch.testing.assert_close(
            sine_positions(height, width, D).double(), naive_positions(height, width), rtol=1e-5, atol=1e-5
        )


def test_sine_positions_need_a_width_of_whole_quarters():
    with pytest.raises(ValueError, match="multiple of 4, got 6"):
        sine_positions(2, 2, 6)


def test_gradients_of_the_layers_are_those_of_finite_differences():
    torch.manual_seed(0)
    tensors = [torch.randn(*shape).double().requires_grad_() for shape in ((1, 3, 4), (1, 2, 4), (3, 4), (2, 4))]
    check_gradients(set_norms(AttentionLayer(4, 2).double()), *tensors)
    check_gradients(set_norms(FeedForwardLayer(4, 5).double()), tensors[0])


@pytest.mark.parametrize("context", ["clip", "frame"])
def test_gradients_of_the_encoder_are_those_of_finite_differences(context):
    encoder = set_norms(make_encoder(audio_context=context))
    check_gradients(encoder, torch.randn(2, T, 6).double().requires_grad_(), torch.tensor([1, 0]), torch.tensor([3, 1]))


def test_gradients_of_the_decoder_are_those_of_finite_differences():
    class OfThreeScales(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder = set_norms(make_decoder(num_layers=3, visual_dim=3))

        def forward(self, queries, *levels):
            return tuple(self.decoder(queries, levels))

    torch.manual_seed(0)
    shapes = (2, N, D), (2, 3, 1, 2), (2, 3, 2, 2), (2, 3, 3, 1)
    check_gradients(OfThreeScales(), *(torch.randn(*shape).double().requires_grad_() for shape in shapes))
