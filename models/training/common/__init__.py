"""Parts of both trainers: the loop, the layers, schedules, logs."""
