"""The short form of `make soak`: everything that the hour does, in a few seconds and at a low rate."""

from tests.length import choose
from tests.survival.soak import Options, soak

SEED = 20261122


def test_books_of_clients_hosts_and_relay_agree_after_a_while_of_all_faults_at_once(tmp_path, capsys):
    said = []
    options = Options(
        seconds=choose(3, 6),
        rate=150,
        seed=SEED,
        folder=tmp_path,
        one_in=12,
        every=0.5,
        schedule=3,
        operator_pause=0.4,
        least=choose(200, 400),
        stops=((0.3, "SIGTERM"), (0.7, "SIGKILL")),
    )
    run, result = soak(options, said.append)
    assert run.faults == [], said
    assert result.accepted >= choose(200, 400)
    assert result.lost == result.unexplained == result.waiting == 0
    assert result.failed > 0
