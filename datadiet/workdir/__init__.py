"""What lies on disk or in a bucket: artifacts, checkpoints, storage, lock."""
