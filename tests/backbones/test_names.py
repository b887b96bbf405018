from sdlora.backbones.names import backbone_names


def test_ours_first_then_tagged_names_of_timm():
    ours, timms = backbone_names()[:2], backbone_names()[2:]
    assert ours == ["glyph_vit", "untrained_vit"]
    assert "vit_base_patch16_224.augreg2_in21k_ft_in1k" in timms
    assert all("." in name for name in timms)
