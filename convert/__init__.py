"""From a trained model to the artifact: integers, gates, netx HDF5, and the report on what changed."""
