"""Others replace, wrap and watch modules: LoRA, int8, hooks. What reads some positions alone must honour that, too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.overrides import TorchFunctionMode

PLACES = torch.tensor([[0, 3, 6], [1, 2, 5]])


def last_projection(model: nn.Module) -> nn.Linear:
    return model.encoder.layers[-1].attention.query_key_value


def logits_at_places(model: nn.Module, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Of the same positions, read alone and among all."""
    everywhere = model(ids, mask).logits
    alone = model(ids, mask, masked_positions=PLACES).logits
    return alone, everywhere.gather(1, PLACES[:, :, None].expand(-1, -1, everywhere.shape[-1]))


class Doubled(nn.Module):
    """A parametrisation."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


class Shifted(nn.Linear):
    """A linear map of another class, such as those of adapters."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) + 1


class Halved(torch.Tensor):
    """A weight of another class, such as those of quantisation: it stands for twice the numbers that it holds."""

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), named=None):
        if function is not nn.functional.linear:
            return super().__torch_function__(function, types, arguments, named)
        hidden, weight, *bias = (
            a.as_subclass(torch.Tensor) if isinstance(a, Halved) else a for a in arguments
        )
        return nn.functional.linear(hidden, 2 * weight, *bias)


class Products(TorchFunctionMode):
    """Multiplications of linear maps."""

    count = 0

    def __torch_function__(self, function, types, arguments=(), named=None):
        if function is nn.functional.linear:
            hidden, weight, *_ = arguments
            self.count += hidden[..., 0].numel() * weight.numel()
        return function(*arguments, **(named or {}))


def with_class(model: nn.Module) -> None:
    shifted = Shifted(32, 96, bias=False)
    shifted.load_state_dict(last_projection(model).state_dict())
    model.encoder.layers[-1].attention.query_key_value = shifted


def with_forward(model: nn.Module) -> None:
    """As `accelerate` wraps modules whose weights lie elsewhere."""
    projection = last_projection(model)
    plain = projection.forward
    projection.forward = lambda hidden: plain(hidden) + 1  # type: ignore[method-assign]


def with_weight(model: nn.Module) -> None:
    projection = last_projection(model)
    projection.weight = nn.Parameter(projection.weight.detach().as_subclass(Halved), requires_grad=False)


CHANGES: dict[str, Callable[[nn.Module], object]] = {
    "forward hook": lambda model: last_projection(model).register_forward_hook(lambda *given: given[2] + 1),
    "hook before": lambda model: last_projection(model).register_forward_pre_hook(
        lambda *given: given[1][0] + 1
    ),
    "parametrisation": lambda model: parametrize.register_parametrization(
        last_projection(model), "weight", Doubled()
    ),
    "spectral norm": lambda model: parametrizations.spectral_norm(last_projection(model)),
    "another class": with_class,
    "another forward": with_forward,
    "another class of weights": with_weight,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_projection_gives_the_same_logits_where_some_positions_are_read(
    small, random_model, ids, padding, change
):
    model = random_model(small("modern", query_key_norm=False))
    before = model(ids, padding).logits
    CHANGES[change](model)
    alone, among_all = logits_at_places(model, ids, padding)
    assert not torch.allclose(model(ids, padding).logits, before, atol=1e-3)  # the change has an effect
    torch.testing.assert_close(alone, among_all, rtol=1e-4, atol=1e-5)


def test_hooks_of_all_modules_and_of_gradients_are_called(small, random_model, ids):
    model = random_model(small())
    projection, seen = last_projection(model), []
    projection.register_full_backward_hook(lambda *given: seen.append("gradient"))
    model.masked_logits(ids, PLACES).sum().backward()
    assert seen == ["gradient"]
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(module))
    try:
        random_model(small()).masked_logits(ids, PLACES)
    finally:
        handle.remove()
    called = [module for module in seen if type(module) is nn.Linear and module.out_features == 96]
    assert len(called) == 3


@pytest.mark.parametrize("name", ["crammed", "bert_base", "modern"])
def test_every_module_with_parameters_is_called(small, random_model, ids, name):
    """Where it is watched: each of them, and once."""
    model = random_model(small(name))
    calls: dict[str, int] = {}
    for path, module in model.named_modules():
        if any(True for _ in module.parameters(recurse=False)):
            calls[path] = 0

            def count(*_: object, path: str = path) -> None:
                calls[path] += 1

            module.register_forward_hook(count)
    model.masked_logits(ids, PLACES)
    assert set(calls.values()) == {1}, calls


@pytest.mark.parametrize("target", ["query_key_value", "all-linear"])
def test_lora_gives_the_same_logits_where_some_positions_are_read(small, random_model, ids, padding, target):
    model = random_model(small("modern"))
    lora = LoraConfig(
        r=4, target_modules=target if target == "all-linear" else [target], init_lora_weights=False
    )
    adapted = get_peft_model(model, lora).eval()
    alone, among_all = logits_at_places(adapted, ids, padding)
    with adapted.disable_adapter():
        without = adapted(ids, padding).logits
    assert (adapted(ids, padding).logits - without).abs().max() > 0.01
    torch.testing.assert_close(alone, among_all, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # PyTorch recommends another package
def test_dynamic_quantisation_to_int8(small, random_model, ids, padding):
    model = random_model(small("modern"))
    exact = model(ids, padding).logits
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    assert not any(type(module) is nn.Linear for module in quantised.encoder.layers.modules())
    # Activations are quantised by the range of what is given, so readings of other positions differ a little.
    alone, among_all = logits_at_places(quantised, ids, padding)
    noise = (exact - quantised(ids, padding).logits).abs().max()
    assert (alone - among_all).abs().max() <= 2 * noise < 0.2 * exact.abs().max()


def test_an_untouched_projection_computes_queries_of_the_read_positions_alone(small, random_model, ids):
    model, products = random_model(small()), Products()
    with products, torch.no_grad():
        model.masked_logits(ids, PLACES)
    queries, keys_and_values, output, feed_forward = (
        6 * 32 * 32,
        20 * 32 * 64,
        6 * 32 * 32,
        6 * (32 * 48 + 24 * 32),
    )
    decoder = 6 * 32 * 64
    whole_layer = 20 * (32 * 96 + 32 * 32 + 32 * 48 + 24 * 32)
    assert products.count == 2 * whole_layer + queries + keys_and_values + output + feed_forward + decoder


def test_the_choice_is_made_in_the_compiled_graph_and_does_not_break_it(small, random_model, ids):
    model, graphs = random_model(small()), []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    alone = torch.compile(model, backend=backend, fullgraph=True)(ids, masked_positions=PLACES).logits
    torch.testing.assert_close(alone, model.masked_logits(ids, PLACES))
    (graph,) = graphs
    maps = [node for node in graph.graph.nodes if node.target in (nn.functional.linear, torch._C._nn.linear)]
    assert len(maps) == 3 * 4 + 1 + 1  # each layer's, the decoder, and one more for queries apart
