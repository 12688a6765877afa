"""`cluscomp inspect`: what an index is and where its bytes are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from cluscomp.cli import common, output
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract

PART_NOTES = {
    "codes": "rows as the codec stores them",
    "shadow": "8-bit codes that spare exact search most rows",
    "refine": "finer codes for the rerank",
    "positions": "which row stands where in the lists",
    "list_offsets": "where each list begins",
    "ids": "permanent ids (consecutive integers take nothing)",
    "tombstones": "deleted rows",
    "attributes": "columns for filters",
    "pool": "what pooling has learned",
    "centroids": "centres of the lists",
    "codebooks": "what the codec learned",
    "rotation": "matrices of the transforms",
    "manifest": "manifest.json",
    "texts": "titles and texts",
    "build.json": "settings of the build",
    "report.json": "plan and measurements of the build",
}


@exits_by_contract
def inspect(
    index: common.IndexFolder,
    verify: Annotated[
        bool, flag("--verify", help="Read every file and compare its checksum.", env=False)
    ] = False,
    map_file: Annotated[
        Path | None,
        flag(
            "--map", help="Draw the lists as a treemap into this HTML file.", env=False, metavar="FILE.html"
        ),
    ] = None,
    nprobe: common.Nprobe = None,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Show key, encoder, seeds, segments, every byte of the folder by part, and how even the lists are."""
    from cluscomp.indexes.index import open_index
    from cluscomp.indexes.keys.grammar import parse_key
    from cluscomp.indexes.kind import kind_of

    common.set_threads(threads)
    opened = open_index(index, verify=verify)
    facts = opened.describe(nprobe=nprobe)
    if map_file is not None:
        from cluscomp.eval.report.treemap import write_treemap

        write_treemap(opened, map_file, title=f"Lists of {index.name}")
        if not quiet:
            output.note(f"wrote {map_file}")
    folder = index if opened.origin is None else opened.origin.folder
    facts["bytes"], facts["folder_bytes"] = _bytes_by_part(facts, folder)
    facts["verified"] = verify
    facts["build"] = _build_report(folder)
    if as_json:
        output.result_json(facts)
        return
    _show_facts(facts)
    notes = PART_NOTES | dict(kind_of(parse_key(facts["key"])).segment.notes)
    _show_bytes(facts["bytes"], facts["folder_bytes"], facts["n_total"], notes)
    if facts["lists"] is not None:
        _show_lists(facts["lists"])
    if facts["build"] is not None:
        _show_build(facts["build"])


def _bytes_by_part(facts: dict[str, Any], folder: Path) -> tuple[dict[str, int], int]:
    """Bytes by part, other files by name, adding up to the size of the folder as the file system has it."""
    parts = {name: size for name, size in facts["bytes"].items() if name not in ("total", "other") and size}
    parts.update(facts["other_files"])
    sizes = {
        file.relative_to(folder).as_posix(): file.stat().st_size
        for file in folder.rglob("*")
        if file.is_file()
    }
    total = sum(sizes.values())
    listed = {*facts["other_files"], "manifest.json"}
    strangers = {
        name: size
        for name, size in sizes.items()
        if name not in listed and not name.endswith((".npy", "docs.sqlite"))
    }
    parts.update(strangers)
    left = total - sum(parts.values())
    if left:
        parts["files that do not belong to the index"] = left
    return parts, total


def _build_report(folder: Path) -> dict[str, Any] | None:
    try:
        report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # an index that was saved from Python has none
    return report


def _show_facts(facts: dict[str, Any]) -> None:
    encoder = facts["encoder"]
    rows = [
        ("key", facts["key"]),
        *[("key as given", key) for key in [facts["settings"].get("asked_key")] if key],
        ("metric", facts["metric"]),
        ("dim", str(facts["dim"])),
        ("documents", str(facts["n_total"])),
        ("deleted", str(facts["n_deleted"])),
        ("segments", str(facts["n_segments"])),
        ("ids", str(facts["id_kind"])),
        *[("attributes", text) for text in [_attributes_text(facts["attributes"])] if text],
        ("encoder", _encoder_text(encoder)),
        ("seed", str(facts["seed"])),
        ("format version", str(facts["format_version"])),
        ("generation", str(facts["generation"])),
        *_code_bytes(facts),
        *((name, str(value)) for name, value in facts["search_defaults"].items()),
        ("checksums", "all equal" if facts["verified"] else "not compared (--verify)"),
    ]
    output.result_table(["", ""], rows)


def _attributes_text(schema: dict[str, Any]) -> str:
    kinds = {name: "tenant" if "tenant" in field else field["kind"] for name, field in schema.items()}
    return ", ".join(f"{name} ({kind})" for name, kind in kinds.items())


def _code_bytes(facts: dict[str, Any]) -> list[tuple[str, str]]:
    code = facts["code_size"] + facts["refine_code_size"]
    if "dense_code_bytes_per_document" in facts:
        names = {"vectors": "dense", "words": "lexical"}
        return [
            ("terms / document", str(facts["terms"]["postings_per_document"])),
            ("bytes / posting", str(facts["terms"]["bytes_per_posting"])),
            *(
                (f"code bytes / document, {what}", str(facts[f"{side}_code_bytes_per_document"]))
                for what, side in names.items()
            ),
        ]
    if "terms" in facts:
        terms = facts["terms"]
        return [
            ("terms / document", str(terms["postings_per_document"])),
            ("bytes / posting", str(terms["bytes_per_posting"])),
            ("code bytes / document", str(facts["code_bytes_per_document"])),
        ]
    if "vectors" not in facts:
        return [("code bytes / document", str(code))]
    vectors = facts["vectors"]
    return [
        ("code bytes / vector", str(code)),
        ("vectors / document", str(vectors["vectors_per_document"])),
        ("code bytes / document", str(facts["code_bytes_per_document"])),
        ("stored bytes / document", str(vectors["stored_bytes_per_document"])),
    ]


def _encoder_text(encoder: dict[str, Any] | None) -> str:
    if encoder is None:
        return "unknown: built from vectors"
    if "words" in encoder:
        sides = [encoder["vectors"], encoder["words"]]
        texts = ["of an unknown encoder" if one is None else _encoder_text(one) for one in sides]
        return f"vectors {texts[0]}; terms {texts[1]}"
    if "pattern" in encoder:
        return (
            f"{encoder.get('name')}: {encoder['pattern']} of lower case {encoder.get('form')}, stop words "
            f"{encoder.get('stop_words')}, stems {encoder.get('stem', 'none')}"
        )
    scaled = "normalised" if encoder.get("normalize") else "not normalised"
    passes = ", bfloat16" if encoder.get("bf16") else ""
    return f"{encoder.get('name')} ({encoder.get('kind')}, dim {encoder.get('dim')}, {scaled}{passes})"


def _show_bytes(parts: dict[str, int], total: int, n: int, notes: dict[str, str]) -> None:
    rows = [
        (name, str(size), f"{size / max(n, 1):.2f}", f"{size / max(total, 1):.1%}", notes.get(name, ""))
        for name, size in sorted(parts.items(), key=lambda item: -item[1])
    ]
    rows.append(("total", str(total), f"{total / max(n, 1):.2f}", "100.0%", output.size_text(total)))
    output.result_table(["part", "bytes", "bytes / document", "share", ""], rows)


def _show_lists(lists: dict[str, Any]) -> None:
    output.result(
        f"lists: {lists['nlist']}, sizes {lists['min']} to {lists['max']} (mean {lists['mean']:.1f}, "
        f"CV {lists['cv']:.2f}, max / mean {lists['max_over_mean']:.2f}), {lists['empty']} empty, "
        f"{lists['above_4x_mean']} above 4x mean{output.bound_text(lists['bound'], lists['exceeded_by'])}"
    )
    scanned = lists["scanned"]
    output.result(
        f"a query that visits {scanned['nprobe']} lists reads {scanned['mean']:.0f} rows (median "
        f"{scanned['p50']}, 99th percentile {scanned['p99']}), assuming queries are distributed like the rows"
    )


def _show_build(report: dict[str, Any]) -> None:
    planned, measured = report["planned_peak"], report["measured_peak"]
    output.result(
        f"build: {output.seconds_text(report['seconds'])}, "
        f"peak memory {output.size_text(measured)} (planned {output.size_text(planned)})"
    )
