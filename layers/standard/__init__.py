"""The standard parts around the wave path, each derived the same way."""
