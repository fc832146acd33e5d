"""What runs unattended: the pipeline, servers, schedules."""
