"""Addresses of weights and the digests they carry, with a server of this machine."""

import hashlib
import http.server
import threading
from functools import partial

import pytest
import torch

from transavs.weights.published import WeightsError, local_file
from transavs.weights.reading import read_state_dict

STATE = {"a": torch.arange(6.0)}


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args):
        pass


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Where downloads are kept."""
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def publish(tmp_path, cache):
    """Serves a file of weights under a name, in which DIGEST stands for the first digits; gives address and digest."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def make(name="weights.pth"):
        torch.save(STATE, folder / "new")
        digest = hashlib.sha256((folder / "new").read_bytes()).hexdigest()
        name = name.replace("DIGEST", digest[:8])
        (folder / "new").rename(folder / name)
        return f"http://127.0.0.1:{server.server_port}/{name}", digest

    yield make
    server.shutdown()
    server.server_close()


def files(folder):
    return [path for path in folder.rglob("*.pth") if path.is_file()]


def test_a_right_digest_is_accepted_wherever_it_stands(publish, cache):
    address, digest = publish()
    for given in (
        address,
        f"{address}#sha256={digest}",
        f"{address}#sha256={digest[:8].upper()}",
        publish("r-DIGEST.pth")[0],
    ):
        assert torch.equal(read_state_dict(given)["a"], STATE["a"])
    assert len(files(cache)) == 2  # each is downloaded once


@pytest.mark.parametrize("name, end", [("r-0123abcd.pth", ""), ("weights.pth", "#sha256=0123abcd")])
def test_a_wrong_digest_names_both_and_removes_the_download(publish, cache, monkeypatch, name, end):
    address, digest = publish(name)
    opened = []
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: opened.append(args))
    message = f"{address}{end}: has the SHA-256 {digest}, expected 0123abcd; {cache}.*{name} was removed"
    for _ in range(2):  # a second try downloads it again
        with pytest.raises(WeightsError, match=message):
            read_state_dict(address + end)
        assert not files(cache) and not opened


def test_a_digest_behind_the_address_goes_before_one_that_seems_to_be_in_the_name(publish):
    address, digest = publish("model-20240101.pth")
    with pytest.raises(WeightsError, match="expected 20240101"):
        local_file(address)
    assert local_file(f"{address}#sha256={digest}")


def test_a_file_of_ones_own_is_called_as_one_likes_and_never_removed(tmp_path):
    path = tmp_path / "model-20240101.pth"
    torch.save(STATE, path)
    assert local_file(path) == str(path)
    with pytest.raises(
        WeightsError, match=r"model-20240101.pth#sha256=0123abcd: has the SHA-256 \w{64}, expected 0123abcd$"
    ):
        read_state_dict(f"{path}#sha256=0123abcd")
    assert path.exists()


def test_an_address_without_a_file_is_told(publish):
    address = publish()[0].replace("weights.pth", "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth: not a readable file of weights \(HTTPError: .*404"):
        read_state_dict(address)
