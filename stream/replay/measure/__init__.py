"""What a replay is worth: detection, friction, calibration, load, each with its interval."""
