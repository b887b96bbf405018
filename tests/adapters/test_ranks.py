import pytest

from sdlora.adapters.ranks import RankSchedule
from sdlora.errors import ConfigError


def ranks(schedule, tasks=12):
    return [schedule.at(task) for task in range(tasks)]


def test_without_reduction_the_rank_stays():
    assert ranks(RankSchedule.of(7)) == [7] * 12


def test_the_papers_reduction():
    assert ranks(RankSchedule.of(10, "paper")) == [10] * 4 + [8] * 4 + [6] * 4


def test_the_papers_reduction_is_relative_to_the_first_rank():
    assert ranks(RankSchedule.of(16, "paper")) == [16] * 4 + [13] * 4 + [10] * 4
    assert ranks(RankSchedule.of(1, "paper")) == [1] * 12


def test_any_schedule():
    assert ranks(RankSchedule.of(4, [[1, 2], [5, 8]])) == [4] + [2] * 4 + [8] * 7
    assert RankSchedule.of(4, [(1, 2)]) == RankSchedule.of(4, [[1, 2]])


@pytest.mark.parametrize("reduction", ["papers", [[4, 8, 1]], [[4]]])
def test_refuses_what_is_no_schedule(reduction):
    with pytest.raises(ConfigError, match="no rank schedule can be read"):
        RankSchedule.of(10, reduction)


@pytest.mark.parametrize("reduction", [[[8, 6], [4, 8]], [[0, 8]], [[-1, 8]], [[4, 8], [4, 6]]])
def test_refuses_tasks_out_of_order(reduction):
    with pytest.raises(ConfigError, match="ascending tasks"):
        RankSchedule.of(10, reduction)
