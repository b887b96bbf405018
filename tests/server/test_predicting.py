"""Pictures in, predictions out."""

from server.fakes import png


def test_a_raw_picture_is_named(site):
    reply = site.predict(png((255, 0, 0)), "?top_k=2")
    assert reply.status == 200, reply.body
    (prediction,) = reply.json["predictions"]
    assert prediction["label"] == "red"
    assert prediction["task"] == 3
    assert [entry["label"] for entry in prediction["top"]] == ["red", "middle"]
    assert reply.json["model_version"] == reply.headers["x-model-version"] == "1-fake"
