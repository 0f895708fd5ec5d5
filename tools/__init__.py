"""What is for users of the code before this one alone."""
