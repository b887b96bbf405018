from pathlib import Path

from sdlora.server.service import drafts_folder


def test_drafts_lie_beside_the_bundle_for_copies_of_it_must_hold_no_pictures(tmp_path, monkeypatch):
    assert drafts_folder(tmp_path / "shop") == tmp_path / "shop.drafts"
    monkeypatch.chdir(tmp_path)
    assert drafts_folder(Path("shop/")) == tmp_path / "shop.drafts"
