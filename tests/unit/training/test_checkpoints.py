import hashlib
import json
from dataclasses import replace

import pytest
import torch

from cxr_spark.errors import DataError
from cxr_spark.storage.store import Store
from cxr_spark.training.checkpoints import (
    Checkpoint,
    Checkpoints,
    Progress,
)
from cxr_spark.training.rank.optimizer import optimizer_state, restore_optimizer


def checkpoint(step, value=1.0):
    history = ({"epoch": 1, "val_loss": 0.1 + 0.2, "val_macro_auc": None},)
    progress = Progress(epoch=step // 10, step=3, global_step=step, sums=((0.1, 7.0), (1 / 3, 6.0)), history=history)
    return Checkpoint(progress, {"layer.weight": torch.full((2, 2), value)}, {"0.exp_avg": torch.ones(2)})


def names(tmp_path):
    return sorted(p.name for p in tmp_path.glob("*.safetensors"))


def test_what_was_saved_comes_back_to_the_last_bit(tmp_path):
    saved = Checkpoints(Store(str(tmp_path)))
    saved.save(checkpoint(5), ("last",), "print")
    found = saved.load()
    assert found.progress == checkpoint(5).progress
    torch.testing.assert_close(found.network["layer.weight"], torch.ones(2, 2), rtol=0, atol=0)
    assert saved.manifest()["fingerprint"] == "print"


def test_nothing_saved_is_none(tmp_path):
    assert Checkpoints(Store(str(tmp_path / "new"))).load() is None


def test_old_ones_go_and_the_best_stay(tmp_path):
    saved = Checkpoints(Store(str(tmp_path)), keep=2)
    saved.save(checkpoint(1), ("last", "best_auc"))
    for step in range(2, 6):
        saved.save(checkpoint(step, step), ("last",))
    assert [name[5:13] for name in names(tmp_path)] == ["00000001", "00000004", "00000005"]
    assert saved.load("best_auc").progress.global_step == 1
    assert saved.load().progress.global_step == 5


@pytest.mark.parametrize("damage", ["cut", "gone", "flipped"])
def test_a_damaged_last_one_is_passed_over(tmp_path, damage):
    saved = Checkpoints(Store(str(tmp_path)))
    saved.save(checkpoint(1), ("last",))
    saved.save(checkpoint(2, 2.0), ("last",))
    file = tmp_path / names(tmp_path)[-1]
    data = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    else:
        data[-3] ^= 1
        file.write_bytes(data)
    assert saved.load().progress.global_step == 1


def test_all_damaged_is_an_error_that_says_what_to_do(tmp_path):
    saved = Checkpoints(Store(str(tmp_path)))
    saved.save(checkpoint(1), ("last",))
    (tmp_path / names(tmp_path)[0]).write_bytes(b"x")
    with pytest.raises(DataError, match="--overwrite"):
        saved.load()


def test_a_file_without_a_place_in_the_manifest_does_not_count(tmp_path):
    saved = Checkpoints(Store(str(tmp_path)))
    saved.save(checkpoint(1), ("last",))
    (tmp_path / "step-00000099-0000000000000000.safetensors").write_bytes(b"half")
    assert saved.load().progress.global_step == 1


def test_a_manifest_that_is_none_is_refused(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps(["x"]))
    with pytest.raises(DataError, match="not a manifest"):
        Checkpoints(Store(str(tmp_path))).load()


@pytest.mark.parametrize("make", [torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.SGD])
def test_an_optimizer_goes_on_as_if_it_had_never_stopped(make):
    def network():
        torch.manual_seed(0)
        return torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)

    def optimizer(module):
        more = {"momentum": 0.9} if make in (torch.optim.SGD, torch.optim.RMSprop) else {}
        return make(module.parameters(), lr=0.1, **more)

    def step(module, chosen, seed):
        torch.manual_seed(seed)
        chosen.zero_grad()
        module(torch.randn(2, 3, 8, 8)).square().sum().backward()
        chosen.step()

    whole = network()
    chosen = optimizer(whole)
    step(whole, chosen, 1)
    resumed = network()
    resumed.load_state_dict(whole.state_dict())
    fresh = optimizer(resumed)
    restore_optimizer(fresh, {k: v.clone().contiguous() for k, v in optimizer_state(chosen).items()})
    step(whole, chosen, 2)
    step(resumed, fresh, 2)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def _saved(tmp_path):
    checkpoints = Checkpoints(Store(str(tmp_path)))
    checkpoints.save(Checkpoint(Progress(epoch=1, global_step=7), {"w": torch.ones(2)}), ("last",), "mark")
    return checkpoints, json.loads((tmp_path / "manifest.json").read_text())


@pytest.mark.parametrize(
    "change",
    [
        {"roles": None}, {"roles": {"last": 3}}, {"roles": {"last": "other"}}, {"roles": {"last": "../x"}},
        {"entries": 3},
        {"entries": [{}]}, {"entries": [{"file": 1}]}, {"fingerprint": 5}, {"entries": [["file"]]},
    ],
)  # fmt: skip
def test_a_manifest_of_other_values_is_one_clear_error(tmp_path, change):
    checkpoints, manifest = _saved(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(DataError, match="is not a manifest of checkpoints"):
        checkpoints.load()


@pytest.mark.parametrize(
    "value",
    [{"epoch": "1"}, {"epoch": -1}, {"epoch": 10**30}, {"sums": 3}, {"sums": [[1]]}, {"history": [3]}, {"x": 1}, 7],
)  # fmt: skip
def test_a_place_of_wrong_types_is_one_clear_error(tmp_path, value):
    from safetensors.torch import save

    checkpoints, manifest = _saved(tmp_path)
    data = save({"network.w": torch.ones(2)}, {"progress": json.dumps(value)})
    (tmp_path / manifest["entries"][0]["file"]).write_bytes(data)
    manifest["entries"][0]["sha256"] = hashlib.sha256(data).hexdigest()
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="is not a checkpoint"):
        checkpoints.load()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("state", ["network", "average"])
def test_weights_that_are_no_numbers_are_one_clear_error(tmp_path, value, state):
    saved = Checkpoints(Store(str(tmp_path)))
    weights = {"layer.weight": torch.tensor([[1.0, value], [2.0, 3.0]])}
    saved.save(replace(checkpoint(1), **{state: weights}), ("last",))
    told = r"layer\.weight has 1 of 4 values that are NaN or infinite: start anew with --overwrite"
    with pytest.raises(DataError, match=told) as error:
        saved.load()
    assert "\n" not in str(error.value)
