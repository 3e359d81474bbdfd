"""How a command ends."""

DONE, RUN_FAILED, WRONG_USE, CHECK_FAILED, INTERRUPTED = 0, 1, 2, 3, 130

EXIT_CODES = """\b
Exit codes:
  0    done
  1    a run or a day of it failed; the other days are made and stay
  2    wrong use or settings; nothing was run
  3    done, but a check failed; days that it holds back have no anomalies
  130  interrupted with Ctrl-C
"""
