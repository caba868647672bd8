"""The shapes of OPT-125M reading a prompt: 12 decoder blocks of width 768, 12 heads of 64, inner width 3072, by name and
without weights.

The blocks are what the one published measurement of such a network on the chip is of; embedding and the head on top are left
out there too.
"""

from __future__ import annotations

from models.dnn.work import CoreWork, MatmulWork, Work

BLOCKS, WIDTH, HEADS, INNER = 12, 768, 12, 3072


def block(tokens: int) -> list[tuple[str, str, Work]]:
    """Return name, kind and work of the operations of one block, in order."""
    head = WIDTH // HEADS

    def linear(name: str, depth: int, columns: int) -> tuple[str, str, Work]:
        return name, "matmul", MatmulWork(batches=1, rows=tokens, depth=depth, columns=columns, is_weight=True)

    def attention(name: str, depth: int, columns: int) -> tuple[str, str, Work]:
        return name, "batch_matmul", MatmulWork(batches=HEADS, rows=tokens, depth=depth, columns=columns, is_weight=False)

    def rows(name: str, kind: str, count: int, width: int, inputs: int = 1, constant_bytes: int = 0) -> tuple[str, str, Work]:
        return name, kind, CoreWork(
            units=count, unit_input_bytes=inputs * width, unit_output_bytes=width, constant_bytes=constant_bytes, steps=width
        )  # fmt: skip

    return [
        rows("norm 1", "layer_norm", tokens, WIDTH, constant_bytes=8 * WIDTH),
        linear("q", WIDTH, WIDTH), linear("k", WIDTH, WIDTH), linear("v", WIDTH, WIDTH),
        attention("q k^T", head, tokens),
        rows("softmax", "softmax", HEADS * tokens, tokens, constant_bytes=1024),
        attention("p v", tokens, head),
        linear("out", WIDTH, WIDTH),
        rows("add 1", "add", tokens, WIDTH, inputs=2),
        rows("norm 2", "layer_norm", tokens, WIDTH, constant_bytes=8 * WIDTH),
        linear("fc1", WIDTH, INNER),
        linear("fc2", INNER, WIDTH),
        rows("add 2", "add", tokens, WIDTH, inputs=2),
    ]  # fmt: skip
