"""What is wrong with images, by their embeddings and their pixels."""
