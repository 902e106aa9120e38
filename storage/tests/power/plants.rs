//! Faults that are planted on purpose: the slice has to find each.
