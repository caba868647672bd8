"""Parts of several trainers: the loop, the layers, schedules, flags, logs."""
