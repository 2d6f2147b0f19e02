//! All work of a store: each request of the engine and of the REST interface at least once.

mod clients;

mod mail;

mod upkeep;

mod words;

mod world;

use crate::store::Store;
use crate::tests::filled;
use crate::tests::life::world::World;
pub(super) use world::CLASS;
pub(super) use world::DELETED_CLASS;

/// Does all this work, on a database that is filled.
pub(super) async fn live(store: &Store) {
    let world = World::begin(store).await;
    filled::fill_deals(store).await;
    mail::receive(&world).await;
    mail::epochs(&world).await;
    mail::send(&world).await;
    mail::wait(&world).await;
    clients::read(&world).await;
    clients::claims(&world).await;
    clients::change(&world).await;
    clients::jobs(&world).await;
    clients::classes(&world).await;
    upkeep::surveys(&world).await;
    upkeep::webhooks(&world).await;
    upkeep::tokens(&world).await;
    upkeep::rights(&world).await;
    upkeep::reach(&world).await;
    upkeep::secrets(&world).await;
    upkeep::sessions(&world).await;
    upkeep::domains(&world).await;
    upkeep::configuration(&world).await;
    upkeep::retention(&world).await;
    upkeep::backups(&world).await;
    words::words(&world).await;
    upkeep::deletions(&world).await;
    Box::pin(upkeep::sweeps(&world)).await;
}
