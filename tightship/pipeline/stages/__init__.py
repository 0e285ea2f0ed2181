"""What each kind of step does: (step, inputs, output folder, work folder, job) -> result."""
