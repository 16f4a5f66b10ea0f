from sessions_app.services.breaker import Breaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_after_a_failure_nobody_tries_until_the_pause_is_over() -> None:
    clock = Clock()
    breaker = Breaker(pause_s=5, clock=clock)
    assert breaker.allows()
    assert breaker.failed(), "the first failure is worth a word"
    clock.now = 4.9
    assert not breaker.allows()
    clock.now = 5.0
    assert breaker.allows(), "one tries"
    assert not breaker.allows(), "the others still pass by"
    assert not breaker.failed(), "nothing new"
    clock.now = 9.9
    assert not breaker.allows()


def test_a_success_closes_it() -> None:
    clock = Clock()
    breaker = Breaker(pause_s=5, clock=clock)
    breaker.failed()
    clock.now = 5.0
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.allows() and breaker.allows()


def test_a_trial_that_never_reports_does_not_open_it_for_ever() -> None:
    clock = Clock()
    breaker = Breaker(pause_s=5, clock=clock)
    breaker.failed()
    clock.now = 5.0
    assert breaker.allows()
    clock.now = 10.0
    assert breaker.allows()
