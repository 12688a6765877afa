"""merge_adapters on toy adapters: oracles by hand, identities against updates formed in full."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lora_adapters import random_modules, updates, write_adapter
from safetensors.numpy import load_file, save_file

import cluscomp as cc
from cluscomp import errors

PLAIN = {"parameter_reweighting": False, "output_reweighting": False}


def close(have, want, tol=2e-6):
    assert have.keys() == want.keys()
    for name in want:
        np.testing.assert_allclose(have[name], want[name], atol=tol * max(1, np.abs(want[name]).max()))


def test_oracle_by_hand(tmp_path):
    one = write_adapter(tmp_path / "1", {"m": (np.float32([[1, 0]]), np.float32([[2], [0]]))})
    two = write_adapter(tmp_path / "2", {"m": (np.float32([[1, 0]]), np.float32([[0], [2]]))})
    report = cc.merge_adapters([one, two], rank=1, output=tmp_path / "raw", **PLAIN)
    np.testing.assert_allclose(updates(tmp_path / "raw")["m"], [[1, 0], [1, 0]])
    module = report.modules[0]
    assert (module.sum_energy, module.merged_energy, module.inner, module.best_energy) == pytest.approx(
        (8, 2, 4, 8)
    )
    assert module.cosine == pytest.approx(1) and module.cluster_sizes == (2,)
    cc.merge_adapters([one, two], rank=1, output=tmp_path / "p", output_reweighting=False)
    np.testing.assert_allclose(updates(tmp_path / "p")["m"], [[5 / 3, 0], [5 / 3, 0]], rtol=1e-6)


def test_total_rank_gives_the_weighted_sum_with_scales_patterns_and_other_modules(tmp_path, rng):
    one = write_adapter(tmp_path / "1", random_modules(rng), alpha=10, alpha_pattern={"q": 3})
    mixed = {**random_modules(rng, ["m.q"], 2), **random_modules(rng, ["m.k"], 5)}
    two = write_adapter(tmp_path / "2", mixed, use_rslora=True, r=5, rank_pattern={"q": 2})
    report = cc.merge_adapters([one, two], rank=9, output=tmp_path / "out", weights=[2, -0.5], **PLAIN)
    u1, u2 = updates(one), updates(two)
    close(
        updates(tmp_path / "out"),
        {"m.q": 2 * u1["m.q"] - 0.5 * u2["m.q"], "m.v": 2 * u1["m.v"], "m.k": -0.5 * u2["m.k"]},
    )
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["r"] == 6 and config["rank_pattern"] == {r"^m\.k": 5, r"^m\.v": 4}
    assert all(m.energy_kept == pytest.approx(1, abs=1e-5) and not m.poor_units for m in report.modules)


@pytest.mark.parametrize("options", [{}, PLAIN, {"balance_norms": True}, {"clustering": "balanced"}])
def test_copies_give_the_single_adapter(tmp_path, rng, options):
    one = write_adapter(tmp_path / "1", random_modules(rng), alpha=7)
    cc.merge_adapters([one] * 3, rank=4, output=tmp_path / "out", **options)
    close(updates(tmp_path / "out"), updates(one))
    cc.merge_adapters(one, rank=4, output=tmp_path / "own", **options)
    close(updates(tmp_path / "own"), updates(one))


@pytest.mark.parametrize("clustering", ["kmeans", "balanced"])
@pytest.mark.parametrize("rank", [1, 3, 6])
def test_order_of_units_and_of_adapters_changes_no_bit(tmp_path, rng, rank, clustering):
    modules = random_modules(rng, ["m"], 5)
    a, b = modules["m"]
    turn = rng.permutation(5)
    one, two = (
        write_adapter(tmp_path / "1", modules),
        write_adapter(tmp_path / "2", random_modules(rng, ["m"], 3)),
    )
    three = write_adapter(tmp_path / "3", {"m": (a[turn], b[:, turn])})
    cc.merge_adapters([one, two], rank=rank, output=tmp_path / "x", clustering=clustering)
    cc.merge_adapters([two, three], rank=rank, output=tmp_path / "y", clustering=clustering)
    x, y = (load_file(tmp_path / n / "adapter_model.safetensors") for n in "xy")
    assert all(np.array_equal(x[k], y[k]) for k in x)
    assert np.linalg.matrix_rank(updates(tmp_path / "x")["m"]) <= rank


def test_balanced_norms_make_the_merge_independent_of_the_gauge(tmp_path, rng):
    modules = random_modules(rng, ["m"], 6)
    a, b = modules["m"]
    s = np.float32([4, 0.25, 2, 0.5, 8, 1])
    one = write_adapter(tmp_path / "1", modules)
    two = write_adapter(tmp_path / "2", {"m": (a * s[:, None], b / s)})
    for folder in (one, two):
        cc.merge_adapters(folder, rank=3, output=tmp_path / f"out{folder.name}", balance_norms=True)
    close(updates(tmp_path / "out1"), updates(tmp_path / "out2"), 1e-5)


def test_report_equals_updates_formed_in_full(tmp_path, rng):
    folders = [write_adapter(tmp_path / str(i), random_modules(rng), alpha=3) for i in range(3)]
    report = cc.merge_adapters(folders, rank=5, output=tmp_path / "out")
    total = {n: sum(updates(f)[n] for f in folders) for n in ("m.q", "m.v")}
    have = updates(tmp_path / "out")
    for m in report.modules:
        want, got = total[m.module], have[m.module]
        assert m.sum_energy == pytest.approx(np.sum(want**2), rel=1e-5)
        assert m.merged_energy == pytest.approx(np.sum(got**2), rel=1e-5)
        assert m.inner == pytest.approx(np.sum(want * got), rel=1e-4, abs=1e-3)
        assert m.error == pytest.approx(np.linalg.norm(want - got) / np.linalg.norm(want), rel=1e-4)
        assert m.best_energy == pytest.approx(np.sum(np.linalg.svd(want)[1][:5] ** 2), rel=1e-5)
        assert sum(m.cluster_sizes) == 12 and len(m.cluster_sizes) == m.rank == 5
    assert json.loads((tmp_path / "out" / "cluscomp_merge.json").read_text())["modules"][0]["rank"] == 5


@given(
    ranks=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    rank=st.integers(1, 12),
    seed=st.integers(0, 999),
    options=st.fixed_dictionaries(
        {
            "clustering": st.sampled_from(["kmeans", "balanced"]),
            "balance_norms": st.booleans(),
            "parameter_reweighting": st.booleans(),
            "output_reweighting": st.booleans(),
        }
    ),
)
@settings(max_examples=30, deadline=None)
def test_what_holds_for_every_merge(tmp_path_factory, ranks, rank, seed, options):
    rng, here = np.random.default_rng(seed), tmp_path_factory.mktemp("any")
    folders = [
        write_adapter(here / str(i), random_modules(rng, rank=r), alpha=3) for i, r in enumerate(ranks)
    ]
    report = cc.merge_adapters(folders, rank=rank, output=here / "out", **options)
    have = updates(here / "out")
    for m in report.modules:
        assert np.linalg.matrix_rank(have[m.module]) <= m.rank == min(rank, sum(ranks))
        assert sum(m.cluster_sizes) == sum(ranks) and min(m.cluster_sizes) > 0
        assert m.merged_energy == pytest.approx(np.sum(have[m.module] ** 2), rel=1e-4)
        # No update of that rank points more towards the sum than the best one does.
        assert m.cosine**2 <= m.best_energy / m.sum_energy + 1e-6
        if rank >= sum(ranks):  # nothing is merged: the sum, scaled
            assert m.cosine == pytest.approx(1) and not m.poor_units


def test_memory_is_that_of_one_module(tmp_path, rng):
    names = [f"m.{i}" for i in range(40)]
    folders = [write_adapter(tmp_path / n, random_modules(rng, names, 16, 2000, 2000)) for n in "ab"]
    cc.merge_adapters(folders, rank=16, output=tmp_path / "out")  # what is imported stays
    tracemalloc.start()
    cc.merge_adapters(folders, rank=16, output=tmp_path / "out", if_exists="replace")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    one_module = 2 * 16 * 4000 * 4
    assert peak < 8 * one_module < 0.25 * sum(f.stat().st_size for f in tmp_path.glob("[ab]/*.safetensors"))


def test_units_that_cancel_are_named_and_not_blown_up(tmp_path):
    a, b = np.float32([[1, 0]]), np.float32([[1], [0]])
    one, two = write_adapter(tmp_path / "1", {"m": (a, b)}), write_adapter(tmp_path / "2", {"m": (-a, -b)})
    report = cc.merge_adapters([one, two], rank=1, output=tmp_path / "out")
    assert not updates(tmp_path / "out")["m"].any()
    assert [unit[:2] for unit in report.modules[0].poor_units] == [(0, 0), (1, 0)]


def test_untrained_units_are_left_out(tmp_path, rng):
    modules = random_modules(rng, ["m", "n"], 4)
    modules["m"][1][:, 1:] = 0
    modules["n"][1][:] = 0
    one = write_adapter(tmp_path / "1", modules)
    report = cc.merge_adapters(one, rank=2, output=tmp_path / "out", **PLAIN)
    close(updates(tmp_path / "out"), updates(one))
    assert [(m.rank, m.empty_units) for m in report.modules] == [(1, 3), (0, 4)]


def test_output_reweighting_and_rank_pattern(tmp_path, rng):
    one = write_adapter(tmp_path / "1", random_modules(rng, rank=8))
    only = {"parameter_reweighting": False}
    cc.merge_adapters(one, rank=2, rank_pattern={"q": 4}, output=tmp_path / "a", **only)
    cc.merge_adapters(one, rank=2, rank_pattern={"q": 4}, output=tmp_path / "b", **PLAIN)
    a, b = updates(tmp_path / "a"), updates(tmp_path / "b")
    close(a, {"m.q": b["m.q"] * 2**0.5, "m.v": b["m.v"] * 2})


def test_half_precision_stays(tmp_path, rng):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file as load_torch
    from safetensors.torch import save_file as save_torch

    one = write_adapter(tmp_path / "1", random_modules(rng, rank=3))
    file = one / "adapter_model.safetensors"
    for dtype, tol in ((torch.float16, 1e-3), (torch.bfloat16, 1e-2)):
        save_torch(
            {
                k: torch.from_numpy(v).to(dtype)
                for k, v in load_file(
                    write_adapter(tmp_path / "s", random_modules(rng, rank=3)) / file.name
                ).items()
            },
            file,
        )
        cc.merge_adapters([one], rank=3, output=tmp_path / "out", if_exists="replace", **PLAIN)
        have, want = load_torch(tmp_path / "out" / file.name), load_torch(file)
        for key in want:
            assert have[key].dtype == dtype
        a, b = (
            t["base_model.model.m.q.lora_B.weight"].float() @ t["base_model.model.m.q.lora_A.weight"].float()
            for t in (have, want)
        )
        assert torch.allclose(a, b, atol=tol)


def half(folder, modules, **more):
    """An adapter in float16."""
    return write_adapter(
        folder, {k: (a.astype("f2"), b.astype("f2")) for k, (a, b) in modules.items()}, **more
    )


@pytest.mark.parametrize(
    ("of_a", "of_b", "weight", "wide"),
    [(1.0, 1.0, 1.0, 0), (1.0, 1.0, 1e6, 0), (1e4, 1e-3, 1e4, 0), (1e-3, 1e4, 1e4, 0), (1.0, 1.0, 1e-7, 0),
     (1e4, 1e4, 1e4, 2), (1e-4, 1e-4, 1e-6, 2)],
)  # fmt: skip
def test_factors_that_leave_float16_lose_nothing(tmp_path, rng, of_a, of_b, weight, wide):
    """The last two leave it however A and B share their magnitude."""
    modules = {"m.q": (of_a * rng.uniform(0.5, 2, (3, 12)), of_b * rng.uniform(0.5, 2, (9, 3)))}
    one = half(tmp_path / "1", modules)
    report = cc.merge_adapters([one], rank=3, weights=[weight], output=tmp_path / "out", **PLAIN)
    want, have = updates(one)["m.q"] * weight, updates(tmp_path / "out")["m.q"]
    np.testing.assert_allclose(have, want, rtol=4e-3)
    assert np.linalg.norm(have - want) < 1e-3 * np.linalg.norm(want)
    assert len(report.wide) == len(report.to_json()["float32_tensors"]) == wide
    dtypes = {str(t.dtype) for t in load_file(tmp_path / "out" / "adapter_model.safetensors").values()}
    assert dtypes == {"float32" if wide else "float16"}


def test_fields_that_are_left_out_have_the_defaults_of_peft(tmp_path, rng):
    one = write_adapter(tmp_path / "1", random_modules(rng, rank=8), alpha=8)
    want = updates(one)
    config = json.loads((one / "adapter_config.json").read_text())
    for name in ("lora_alpha", "r"):
        del config[name]
    (one / "adapter_config.json").write_text(json.dumps(config))
    cc.merge_adapters([one], rank=8, output=tmp_path / "out", **PLAIN)
    close(updates(tmp_path / "out"), want)


def test_unknown_fields_that_are_off_are_passed_over(tmp_path, rng):
    fields = {
        "use_newlora": False,
        "newlora_config": None,
        "newlora_size": 16,
        "newlora_kind": "plain",
        "runtime_config": {"x": 1},
    }
    one = write_adapter(tmp_path / "1", random_modules(rng), **fields)
    cc.merge_adapters([one], rank=4, output=tmp_path / "out", **PLAIN)


@pytest.mark.parametrize(
    ("fields", "word"),
    [({"use_dora": True}, "DoRA"), ({"bias": "all"}, "bias"), ({"modules_to_save": ["head"]}, "modules_to_save"),
     ({"peft_type": "IA3"}, "IA3"), ({"init_lora_weights": "pissa"}, "pissa"), ({"base_model_name_or_path": "other"}, "different base models"),
     ({"fan_in_fan_out": True}, "fan_in_fan_out"), ({"r": 7}, "rank 7"), ({"lora_alpha": "x"}, "lora_alpha"), ({"revision": "v2"}, "v2"),
     ({"use_newlora": True}, "use_newlora=True"), ({"newlora_config": {"k": 1}}, "newlora_config"), ({"newlora_layers": [3]}, "newlora_layers")],
)  # fmt: skip
def test_refused_configurations_write_nothing(tmp_path, rng, fields, word):
    one = write_adapter(tmp_path / "1", random_modules(rng))
    two = write_adapter(tmp_path / "2", random_modules(rng), **fields)
    with pytest.raises(errors.InputError, match=word):
        cc.merge_adapters([one, two], rank=2, output=tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2"]


def test_a_base_model_under_two_names(tmp_path, rng):
    one = write_adapter(tmp_path / "1", random_modules(rng))
    two = write_adapter(tmp_path / "2", random_modules(rng), base_model_name_or_path="/models/toy")
    cc.merge_adapters([one, two], rank=2, output=tmp_path / "out", base_model="toy")
    assert (
        json.loads((tmp_path / "out" / "adapter_config.json").read_text())["base_model_name_or_path"] == "toy"
    )


def damage(folder, how):
    weights, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    if how == "truncated":
        weights.write_bytes(weights.read_bytes()[:-5])
    elif how == "pickled":
        weights.rename(folder / "adapter_model.bin")
    elif how == "lfs":
        weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    elif how == "no weights":
        weights.unlink()
    elif how == "no config":
        config.unlink()
    elif how == "bad json":
        config.write_text("{")
    else:
        tensors = load_file(weights)
        key = "base_model.model.m.q.lora_A.weight"
        if how == "nan":
            tensors[key][1, 2] = np.nan
        elif how == "magnitude":
            tensors["base_model.model.m.q.lora_magnitude_vector"] = np.ones(3, np.float32)
        elif how == "half a module":
            del tensors[key]
        elif how == "wide":
            tensors[key] = np.ones((4, 13), np.float32)
        save_file(tensors, weights)


@pytest.mark.parametrize(
    ("how", "error", "word"),
    [("truncated", errors.MalformedFileError, "safetensors"), ("pickled", errors.InputError, "convert"),
     ("lfs", errors.MalformedFileError, "LFS"), ("no weights", errors.MissingInputError, "safetensors"),
     ("no config", errors.MissingInputError, "adapter_config"), ("bad json", errors.MalformedFileError, "JSON"),
     ("nan", errors.NonFiniteError, "m.q"), ("magnitude", errors.InputError, "magnitude"),
     ("half a module", errors.MalformedFileError, "lora_A"), ("wide", errors.DimensionError, "13")],
)  # fmt: skip
def test_damaged_folders_write_nothing(tmp_path, rng, how, error, word):
    one, two = (write_adapter(tmp_path / n, random_modules(rng)) for n in "12")
    damage(two, how)
    with pytest.raises(error, match=word):
        cc.merge_adapters([one, two], rank=2, output=tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2"]


def test_output_is_replaced_only_where_a_merge_made_it(tmp_path, rng):
    one = write_adapter(tmp_path / "1", random_modules(rng))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").touch()
    cc.merge_adapters(one, rank=2, output=tmp_path / "out")
    for target, how in (("out", "fail"), ("mine", "replace"), ("1", "replace")):
        with pytest.raises(errors.OutputExistsError):
            cc.merge_adapters(one, rank=1, output=tmp_path / target, if_exists=how)
    cc.merge_adapters(one, rank=1, output=tmp_path / "out", if_exists="replace")
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["r"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "mine", "out"]


@pytest.mark.parametrize(
    "options",
    [{"rank": 0}, {"rank": True}, {"weights": [1, 2]}, {"weights": [0]}, {"weights": [np.nan]},
     {"clustering": "x"}, {"rank_pattern": {"nothing": 1}}, {"if_exists": "x"}],
)  # fmt: skip
def test_wrong_calls(tmp_path, rng, options):
    one = write_adapter(tmp_path / "1", random_modules(rng))
    with pytest.raises(errors.UsageError):
        cc.merge_adapters([one], **{"rank": 2, "output": tmp_path / "out", **options})
    with pytest.raises(errors.UsageError):
        cc.merge_adapters([], rank=2, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
