"""What the stages of a key cost together, following `Pipeline.train` and `Pipeline.encode` step by step."""

from __future__ import annotations

from dataclasses import replace

from cluscomp.indexes.stages.cost import Cost, Shape, Work
from cluscomp.indexes.stages.joint_training import is_joint
from cluscomp.indexes.stages.pipeline import BLOCK_ROWS, MIN_TRAINING_SAMPLE, Pipeline


def pipeline_cost(pipeline: Pipeline, train_rows: int, itemsize: int) -> Cost:
    """Cost of all stages. train_rows: rows that training is given, of itemsize bytes a value.

    train_bytes counts the training rows, and add_row_bytes the codes; the rows of a block to encode and the
    trained arrays come on top.
    """
    held, work = _training(pipeline, train_rows, itemsize)
    parts = _adding_parts(pipeline)
    code_bytes = sum(codec.row_bytes for codec in (pipeline.codec, pipeline.refine) if codec is not None)
    row = _base_bytes(pipeline, itemsize) + sum(part.add_row_bytes for part in parts) + 2 * code_bytes
    return Cost(
        train_bytes=held,
        train=work,
        least_rows=max(part.least_rows for part in parts),
        add_bytes=sum(part.add_bytes for part in parts),
        add_row_bytes=row,
        add=sum((part.add for part in parts), Work()),
        codewords=pipeline.codec.cost(Shape()).codewords,
    )


def _adding_parts(pipeline: Pipeline) -> list[Cost]:
    """Costs of the stages that a row passes when it is added; they do not depend on the training rows."""
    stages = [*pipeline.steps, pipeline.partition, pipeline.refine]
    plain = [stage.cost(Shape()) for stage in stages if stage is not None]
    return [*plain, pipeline.codec.cost(Shape(for_scores=pipeline.score_codec is not None))]


def _base_bytes(pipeline: Pipeline, itemsize: int) -> int:
    """Bytes of a row while it becomes float32 and is normalised."""
    return 4 * pipeline.dim * ((itemsize == 2) + pipeline.normalizes)


def _training(pipeline: Pipeline, rows: int, itemsize: int) -> tuple[int, Work]:
    """Bytes at the widest moment of `Pipeline.train`, and the work of all of it."""
    if not rows:
        return 0, Work()
    held = rows * pipeline.dim * (itemsize + (4 if itemsize == 2 or pipeline.normalizes else 0))
    peak = held
    few, current, work = min(rows, MIN_TRAINING_SAMPLE), 0, Work()
    joint = is_joint(pipeline.steps, pipeline.partition, pipeline.codec)
    for step in pipeline.steps[:-1] if joint else pipeline.steps:
        cost = step.cost(Shape(few))
        taken = few * step.dim_in * 4 if few < rows else 0
        applied = rows * step.dim_out * 4 + _applied(rows, cost)
        peak = max(peak, held + current + max(taken + cost.train_bytes, applied))
        current = rows * step.dim_out * 4
        work += cost.train + cost.add * rows
    held += current
    if pipeline.partition is not None:
        cost = pipeline.partition.cost(Shape(rows))
        peak, work = max(peak, held + cost.train_bytes), work + cost.train
    held += few * pipeline.codec.dim * 4 if few < rows else 0
    last = [_codec_cost(pipeline, few, joint)]
    if pipeline.refine is not None:
        last.append(pipeline.refine.cost(Shape(rows)))
    peak = max(peak, *(held + cost.train_bytes for cost in last))
    return peak, sum((cost.train for cost in last), work)


def _codec_cost(pipeline: Pipeline, rows: int, joint: bool) -> Cost:
    """Training the codec, with the rotation in front of it where both learn together."""
    codec, for_scores = pipeline.codec, pipeline.score_codec is not None
    cost = codec.cost(Shape(rows, for_scores, joint))
    if joint:
        step = pipeline.steps[-1].cost(Shape(rows))
        # Rows and residuals are rotated one after the other before the codebooks are moved for the scores.
        rotated = 8 * codec.dim * rows + max(cost.train_bytes, _applied(rows, step)) if for_scores else 0
        work = step.train + cost.train + step.add * (2 * rows if for_scores else 0)
        cost = replace(cost, train_bytes=max(step.train_bytes, rotated), train=work)
    residuals = 8 * codec.dim * rows if pipeline.uses_residuals else 0  # the rows' centroids, too
    return replace(cost, train_bytes=residuals + cost.train_bytes)


def _applied(rows: int, step: Cost) -> int:
    """Bytes of the block that a transform works on, when it is applied to rows."""
    return min(rows, BLOCK_ROWS) * step.add_row_bytes + step.add_bytes
