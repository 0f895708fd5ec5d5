"""Where and how the program runs: devices, processes, stopping, random keys."""
