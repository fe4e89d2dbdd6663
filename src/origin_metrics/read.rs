//! What exporters publish, read into the few facts that a run shows beside its own figures.
