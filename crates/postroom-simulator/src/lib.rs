//! The engine simulator: the real engine and the real store, servers in memory, simulated time.
//!
//! ```text
//!   seed ─► world: plan, chance ─► events: mail comes, clients write, servers fail, time jumps
//!                                    │
//!             process (engine, store) ── killed at any point, started again ── servers
//!                                    │
//!   truth: what was put in ───────► check: what must always hold, and in the end
//! ```
//! A process is a runtime of one thread whose time passes only when nothing has anything to do. SQL
//! and decompositions run inline. So the same seed gives the same history, and hours take
//! milliseconds. The truth knows nothing of the engine: only what was put into the world, what
//! clients were told, and what the servers have.

pub mod time;

pub mod disk;

pub mod servers;

pub mod mail;

pub mod truth;

pub mod world;

pub mod process;

pub mod client;

mod faults;

mod others;

mod upheavals;

mod check;

mod scenes;

mod low_uid;

mod expiry;

mod events;

mod feed;

mod killer;

mod simulation;

pub use simulation::Failure;
pub use simulation::Summary;
pub use simulation::simulate;
pub use simulation::simulate_all;
