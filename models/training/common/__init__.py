"""What both trainers share: the loop, the layers, schedules, logs."""
