"""Input that is made to harm is refused, or read, within a memory that does not grow with what it claims."""

from pathlib import Path

import pytest

from benchmarks.bad_input import CASES, measured

SAID = {
    "zip bomb, 10 GiB": "10,737,418,240 bytes are more than the 2,147,483,648 a day may have",
    "zip bomb that lies about its size": "Bad CRC-32",
    "bzip2 bomb that lies about its size": "compressed by method 12",
    "members that overlap": "it overlaps another member",
    "100,000 members": "its directory has more than the 4,194,304 bytes",
    "a line of 1 GiB": "line 4 after the header has more than the 4,194,304 bytes",
    "100,000 columns": "the first line has 688,949 bytes",
    "60 million short lines": "60,000,003 lines of 6 columns are more than the 4,000,000",
    "nothing but separators": "6 rows",
    "300 MB of NUL bytes": "more than 536,870,912 bytes of the first",
}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is told by Linux")
@pytest.mark.parametrize("case", CASES)
def test_no_input_takes_more_memory_than_a_day_may(case: str, tmp_path: Path) -> None:
    _, mib, said = measured(case, tmp_path)
    assert SAID[case] in said
    assert mib <= CASES[case][1]
