//! The engine on paused time, over sandboxes in memory: what no story of the whole process can
//! hold still.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod world;

mod alternating;

mod credentials;

mod deleting;

mod devices;

mod erasing;

mod exchanging;

mod held_up;

mod hiding;

mod limits;

mod loading;

mod logging_in;

mod oauth;

mod oversized;

mod consents;

mod receiving;

mod redialing;

mod renaming;

mod renumbering;

mod sending;

mod refused_alike;

mod server_search;

mod set_apart;

mod silent;

mod supervising;

mod taken_over;

mod token_faults;

mod token_refusals;

mod unasked;

mod unloaded;

mod webhooks;
