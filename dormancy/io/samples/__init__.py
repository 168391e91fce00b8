"""Read and write replay samples: from a file to a `ReplaySample`."""
