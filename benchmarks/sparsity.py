"""python -m benchmarks.sparsity: what weights that are held at zero do to the time of an update.

One process trains a dense model and sparse ones by turns, so that whatever else the machine does meets all of them. On
a processor the time is this process' own (of all its threads), on a GPU that of the clock. The dense model's is 1.

Where there is an NVIDIA GPU of compute capability 8.0 or newer (A100 and later), the products of the layers are timed
too: dense, and with 2:4 weights through `torch.sparse.to_sparse_semi_structured`, in bfloat16, forward only. Training
does not use that form: its kernels have no gradient of the weights.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from benchmarks import by_turns, markdown, pretraining_problem, results, running

VARIANTS = {
    "dense": ("sparsity=none",),
    "static 50 %": ("sparsity=static",),
    "static 75 %": ("sparsity=static", "sparsity.level=0.75"),
    "2:4": ("sparsity=semi_structured", "sparsity.fixed_at=0"),
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = running.parser("sparsity", __doc__)
    by_turns.add_options(words)
    return words


def products(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each shape of matrix in the layers: its product dense, and 2:4; none without such a GPU."""
    import torch
    from torch.nn import functional
    from torch.utils.benchmark import Timer

    from bertinchamps.model.architecture import build_config
    from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
    from bertinchamps.training.sparsity import sparsities
    from bertinchamps.training.sparsity.matrices import matrices_of

    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0):
        return []
    arch = pretraining_problem.composed(arguments, ["budget.steps=1"]).arch
    with torch.device("meta"):
        maps = matrices_of(BertinchampsForMaskedLM(build_config(vars(arch), arguments.vocabulary)))
    shapes = {tuple(weight.shape) for weight in maps.values()}
    rows, variant = [], sparsities.build("semi_structured")
    for shape in sorted(shapes):
        weight = torch.randn(shape, device="cuda", dtype=torch.bfloat16)
        weight *= variant.masks(1, {"map": weight}, {}, 0)["map"]
        inputs = torch.randn(
            arguments.micro_batch * arguments.sequence_length, shape[1], device="cuda", dtype=torch.bfloat16
        )
        forms = {"dense": weight, "2:4": torch.sparse.to_sparse_semi_structured(weight)}
        timed = {
            name: Timer(
                "f(x, w)", globals={"f": functional.linear, "x": inputs, "w": form}
            ).blocked_autorange()
            for name, form in forms.items()
        }
        micros = {name: 1e6 * found.median for name, found in timed.items()}
        rows.append({"shape": list(shape), **micros, "ratio": micros["2:4"] / micros["dense"]})
    return rows


def main() -> int:
    """Measure, and print the tables."""
    arguments = parser().parse_args()
    print(*by_turns.table(by_turns.updates(arguments, VARIANTS), "weights", "dense"), sep="\n")
    found = products(arguments)
    if found:
        cells = [
            (f"{r['shape']}", f"{r['dense']:.1f}", f"{r['2:4']:.1f}", f"{r['ratio']:.2f}") for r in found
        ]
        print(*markdown.table(("matrix", "dense, µs", "2:4, µs", "of dense"), 1, cells), sep="\n")
    else:
        print("2:4 products are not timed: they need an NVIDIA GPU of compute capability 8.0 or newer")
    print(results.hardware())
    return 0


if __name__ == "__main__":
    sys.exit(main())
