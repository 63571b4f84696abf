"""What stands on the topics of models and policies, for whoever reads it: worker, desk, replay."""
