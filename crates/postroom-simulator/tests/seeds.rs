//! Fifty seeds of the simulation, the same each time.

use postroom_simulator::simulate_all;

#[test]
fn every_promise_holds_in_fifty_seeds() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    if let Err(error) = simulate_all(1..51, threads, |_, _| {}) {
        panic!("{error:#}\nto see it again: cargo xtask simulate --seeds 1 --first SEED --log");
    }
}
