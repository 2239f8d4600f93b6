"""Where examples come from: TensorFlow Datasets, folders, the release, papers."""
