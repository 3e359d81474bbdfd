"""What runs functions of blocks: all rows of some entities over a stretch of time, in threads of this process."""
