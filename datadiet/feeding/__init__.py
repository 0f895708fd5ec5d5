"""From a split of the data to the batch inside the step."""
