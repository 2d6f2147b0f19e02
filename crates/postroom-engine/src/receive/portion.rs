//! Portion: the messages that are decomposed and committed together.

use crate::error::Error;
use crate::receive::decompose::Decomposed;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

/// A portion that is being decomposed.
pub(crate) type Portion = JoinHandle<Result<DecomposedPortion, Error>>;

/// A portion after decomposition, with its share of the memory.
#[derive(Debug)]
pub(crate) struct DecomposedPortion {
    /// The messages, in the order of their arrival.
    pub messages: Vec<Decomposed>,
    /// Their share of `Shared::bytes_in_flight`. It is given back after the commit.
    pub permit: Option<OwnedSemaphorePermit>,
}
