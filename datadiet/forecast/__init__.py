"""What an experiment would take on a machine that is not there.

The compilers of accelerators run on any host. They refuse programs that do not
fit in a chip's memory, name the collectives, and estimate the cycles of every
instruction: estimates, not measurements.
"""
