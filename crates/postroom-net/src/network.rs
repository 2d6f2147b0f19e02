//! A network in memory, in place of TCP: simulations hand one in.

use std::fmt;
use std::io;
use std::pin::Pin;
use tokio::io::DuplexStream;

/// A connection in memory that is on its way.
pub type Dialed = Pin<Box<dyn Future<Output = io::Result<DuplexStream>> + Send>>;

/// Makes connections in memory. There is no TLS on them.
pub trait Network: fmt::Debug + Send + Sync {
    /// Connects to a host and port.
    fn dial(&self, host: &str, port: u16) -> Dialed;
}
