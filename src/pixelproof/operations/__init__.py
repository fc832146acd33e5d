"""What runs by itself: the pipeline, servers, schedules."""
