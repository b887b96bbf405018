from sdlora.server.meters import Meters


def test_numbers_come_out_as_prometheus_reads_them():
    meters = Meters()
    meters.on_answer("POST", "/v1/predict", 200, 0.1)
    meters.batches.observe(7)
    text = meters.text().decode()
    assert 'sdlora_answers_total{method="POST",route="/v1/predict",status="200"} 1.0' in text
    assert 'sdlora_batch_pictures_bucket{le="8.0"} 1.0' in text


def test_made_up_names_cannot_fill_the_memory():
    meters = Meters()
    for number in range(1000):
        meters.on_answer(f"VERB{number}", f"/made/up/{number}", 404, 0.1)
        meters.on_answer("GET", f"/v1/lessons/{number}", 404, 0.1)
    assert len(meters.text()) < 10_000
