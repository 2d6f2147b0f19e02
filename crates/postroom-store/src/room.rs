//! Where a batch finds its space.

/// Where the space for a batch may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// The free space of the disk.
    Free,
    /// The reserve too. It is for deletions, and for small batches that must not be lost.
    Reserve,
}
