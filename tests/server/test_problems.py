import json

from sdlora.server.problems import ProblemError, megabytes, too_large


def test_a_problem_document_has_all_its_parts():
    problem = ProblemError(503, "queue_full", "Full.", fix="Try again.", retry_after=3)
    assert json.loads(problem.body()) == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "code": "queue_full",
        "detail": "Full.",
        "fix": "Try again.",
        "field": None,
    }
    assert problem.headers() == {"Content-Type": "application/problem+json", "Retry-After": "3"}
    assert ProblemError(401, "token", "No.").headers()["WWW-Authenticate"] == "Bearer"
    assert problem.to_error() == {"code": "queue_full", "message": "Full. Try again."}


def test_sizes_are_told_as_people_read_them():
    assert too_large(18_000_000, 10_000_000).detail == "18 MB is over the limit of 10 MB."
    assert [megabytes(size) for size in (1_500_000, 64_000, 900)] == ["1.5 MB", "64 kB", "0.9 kB"]
