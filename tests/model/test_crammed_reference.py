"""The crammed encoder against a plain transcription of its definition, written without the room."""

from __future__ import annotations

import math

import torch

LAYERS, HEADS, SIZE, EPSILON = 3, 4, 32, 1e-12


def layer_norm(x, weights, name):
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.pow(2).mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + EPSILON) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def position_vector(position):
    vector = torch.zeros(SIZE)
    for i in range(SIZE // 2):
        angle = position / 10000 ** (2 * i / SIZE)
        vector[2 * i], vector[2 * i + 1] = math.sin(angle), math.cos(angle)
    return vector


def attend(x, weights, name, allowed):
    """One row [S, H]; query i reads key j only where allowed[j]."""
    fused = x @ weights[f"{name}.query_key_value.weight"].T
    queries, keys, values = fused[:, :SIZE], fused[:, SIZE : 2 * SIZE], fused[:, 2 * SIZE :]
    width = SIZE // HEADS
    rows = []
    for i in range(len(x)):
        heads = []
        for head in range(HEADS):
            part = slice(head * width, (head + 1) * width)
            scores = keys[:, part] @ queries[i, part] / math.sqrt(width)
            exponentials = torch.where(allowed, torch.exp(scores - scores.max()), torch.zeros(()))
            heads.append((exponentials / exponentials.sum()) @ values[:, part])
        rows.append(torch.cat(heads))
    return torch.stack(rows) @ weights[f"{name}.output.weight"].T


def feed_forward(x, weights, name):
    wide = x @ weights[f"{name}.input.weight"].T
    half = wide.shape[-1] // 2
    return (gelu(wide[:, :half]) * wide[:, half:]) @ weights[f"{name}.output.weight"].T


def reference_logits(weights, ids, mask):
    rows = []
    for row, allowed in zip(ids, mask.bool(), strict=True):
        table = torch.stack([position_vector(position) for position in range(len(row))])
        embedding = weights["encoder.embeddings.tokens.weight"]
        x = embedding[row] + weights["encoder.embeddings.positions.scale"] * table
        x = layer_norm(x, weights, "encoder.embeddings.norm")
        for layer in range(LAYERS):
            name = f"encoder.layers.{layer}"
            x = x + attend(
                layer_norm(x, weights, f"{name}.attention_norm"), weights, f"{name}.attention", allowed
            )
            x = x + feed_forward(
                layer_norm(x, weights, f"{name}.feed_forward_norm"), weights, f"{name}.feed_forward"
            )
        rows.append(layer_norm(x, weights, "encoder.final_norm") @ embedding.T)
    return torch.stack(rows)


def check(model, ids, mask, attention_mask):
    parameters = dict(model.named_parameters())
    weights = {name: parameter.detach().clone().requires_grad_() for name, parameter in parameters.items()}
    real = mask.bool()
    targets = ids.flip(0)[real]

    expected = reference_logits(weights, ids, mask)[real]
    torch.nn.functional.cross_entropy(expected, targets).backward()
    logits = model(ids, attention_mask).logits[real]
    torch.nn.functional.cross_entropy(logits, targets).backward()

    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    for name, parameter in parameters.items():
        torch.testing.assert_close(parameter.grad, weights[name].grad, rtol=1e-4, atol=1e-6, msg=name)


def test_crammed_equals_its_definition(small, random_model, ids):
    check(random_model(small("crammed")), ids, torch.ones_like(ids), None)


def test_crammed_equals_its_definition_under_padding(small, random_model, ids, padding):
    check(random_model(small("crammed")), ids, padding, padding)
