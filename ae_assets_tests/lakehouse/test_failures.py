"""What is refused is tried again for as long as it may pass."""

import time

import pytest

from ae_assets.lakehouse.failures import retrying


class Refusing:
    """Refuses so often, each time after a while."""

    def __init__(self, refusals: int, seconds: float = 0.0) -> None:
        self.left = refusals
        self.seconds = seconds
        self.tries = 0

    def __call__(self) -> str:
        self.tries += 1
        time.sleep(self.seconds)
        if self.tries <= self.left:
            raise ConnectionError(str(self.tries))
        return "done"


def test_what_may_pass_is_tried_until_it_does() -> None:
    refusing = Refusing(5)
    assert retrying(lambda refusal: 60.0)(refusing) == "done"
    assert refusing.tries == 6


def test_what_will_not_pass_is_tried_once() -> None:
    refusing = Refusing(1)
    with pytest.raises(ConnectionError, match="1"):
        retrying(lambda refusal: 0.0)(refusing)


def test_a_first_try_that_took_longer_than_the_patience_is_not_the_last() -> None:
    assert retrying(lambda refusal: 0.01)(Refusing(1, seconds=0.05)) == "done"


def test_the_last_refusal_is_raised_when_time_is_up() -> None:
    refusing = Refusing(1000, seconds=0.01)
    with pytest.raises(ConnectionError) as last:
        retrying(lambda refusal: 0.2)(refusing)
    assert str(last.value) == str(refusing.tries)
    assert refusing.tries > 2
