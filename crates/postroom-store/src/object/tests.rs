//! Contents in a bucket: written first, read in ranges, removed last.

use crate::blob::Content;
use crate::chunk::BlobId;
use crate::chunk::CHUNK_BYTES;
use crate::database::Statement;
use crate::entity::NewEntity;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::file::NewContent;
use crate::file::NewFile;
use crate::fixture::objects_at;
use crate::fixture::store_at;
use crate::fixture::store_impatient;
use crate::fixture::store_in;
use crate::object;
use crate::store::Store;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::builtin::MESSAGES;
use postroom_testkit::S3;
use postroom_testkit::TestDatabase;
use postroom_testkit::on_both;
use serde_json::json;
use std::fs;
use std::time::Duration;
use tempfile::TempDir;

const PLACE: &str = "s3://mail/post/room";

/// A store with its contents in a bucket.
struct World {
    directory: TempDir,
    s3: S3,
    store: Store,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let s3 = S3::start().await.unwrap();
        let store = store_at(directory.path(), &s3, PLACE).await.unwrap();
        Self { directory, s3, store }
    }

    async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) FROM \"{table}\"");
        self.store.read(Statement::new(sql)).await.unwrap()[0].whole(0).unwrap()
    }

    /// How many objects the bucket has.
    fn objects(&self) -> usize {
        self.s3.objects().unwrap().len()
    }

    /// An outgoing message with a file of this content.
    async fn message(&self, content: Content) -> Result<EntityId, Error> {
        let class = self.store.builtin(MESSAGES).unwrap();
        let file = NewFile {
            property: "file".to_owned(),
            name: "a".to_owned(),
            media_type: "a/b".to_owned(),
            content_id: None,
            content: NewContent::Own(content),
        };
        let values = json!({"messageDirection": "out"}).as_object().unwrap().clone();
        let entity = Entity::new(self.store.clock().new_id(), values);
        let (id, domain) = (entity.id, Domain::default_domain());
        let new = NewEntity { entity, files: vec![file] };
        self.store.entity_create(&domain, &class, vec![new]).await.map(|_| id)
    }

    async fn delete(&self, message: EntityId) {
        let class = self.store.builtin(MESSAGES).unwrap();
        let domain = Domain::default_domain();
        let place = EntityPlace::new(&domain, &class, message);
        self.store.entity_delete(place, None).await.unwrap();
    }

    async fn blob(&self, message: EntityId) -> BlobId {
        let files = self.store.file_list(&Domain::default_domain(), message, "file").await.unwrap();
        files[0].blob()
    }

    async fn read(&self, blob: BlobId, range: std::ops::Range<u64>) -> Result<Vec<u8>, Error> {
        let (mut reader, mut all) = (self.store.blob_read(blob, range), vec![]);
        while let Some(piece) = reader.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}

fn noise(count: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(count).collect()
}

/// Part of it can be compressed, and part cannot.
fn mixed(count: usize) -> Vec<u8> {
    let mut mixed = noise(count);
    mixed.chunks_mut(CHUNK_BYTES).step_by(3).for_each(|chunk| chunk.fill(b'a'));
    mixed
}

#[on_both]
async fn large_contents_are_objects_and_are_read_back_in_ranges() {
    let world = World::new().await;
    let bytes = mixed(21 << 20);
    let mut writer = world.store.blob_writer();
    for piece in bytes.chunks(99_991) {
        writer.write(piece).await.unwrap();
    }
    let streamed = world.message(writer.finish().await.unwrap()).await.unwrap();
    let whole = world.message(Content::prepare(&bytes[..3 << 20])).await.unwrap();
    let small = world.message(Content::prepare(&bytes[..4095])).await.unwrap();
    assert_eq!((world.objects(), world.count("object").await), (2, 2));
    assert_eq!(world.count("unfinished").await, 0);
    for (message, size) in [(streamed, 21 << 20), (whole, 3 << 20), (small, 4095)] {
        let (blob, end) = (world.blob(message).await, size as u64);
        assert!(world.read(blob, 0..end).await.unwrap() == bytes[..size], "{size}");
        for range in [0..1, end - 1..end, end / 3..end / 2] {
            let [from, to] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
            assert!(world.read(blob, range).await.unwrap() == bytes[from..to], "{from} {to}");
        }
    }
    let stored = world.store.read(Statement::new("SELECT SUM(LENGTH(\"bytes\")) FROM \"chunk\""));
    assert!(stored.await.unwrap()[0].whole(0).unwrap() < 8192, "the database has places alone");
    let verified = world.store.verify(|what| panic!("{what}")).await.unwrap();
    assert_eq!((verified.files, verified.damaged, verified.chunks_left_alone), (3, 0, 0));
}

#[on_both]
async fn nothing_is_committed_whose_object_is_not_there() {
    let mut world = World::new().await;
    world.s3.down().await;
    let refused = world.message(Content::prepare(&noise(5000))).await;
    assert!(matches!(refused, Err(Error::Objects { .. })), "{refused:?}");
    let mut writer = world.store.blob_writer();
    assert!(writer.write(&noise(5 << 20)).await.is_err());
    drop(writer);
    assert_eq!(world.count("email/Messages").await + world.count("object").await, 0);
    let small = world.message(Content::prepare(&noise(4000))).await.unwrap();
    assert_eq!(world.read(world.blob(small).await, 0..4000).await.unwrap(), noise(4000));
    world.s3.up().await.unwrap();
    let large = world.message(Content::prepare(&noise(5000))).await.unwrap();
    assert_eq!(world.read(world.blob(large).await, 0..5000).await.unwrap(), noise(5000));
}

#[on_both]
async fn an_s3_that_never_answers_is_given_up_soon_and_told_until_it_answers() {
    let directory = tempfile::tempdir().unwrap();
    let s3 = S3::start().await.unwrap();
    let store = store_impatient(directory.path(), &s3, PLACE).await;
    let mut world = World { directory, s3, store };
    let message = world.message(Content::prepare(&noise(5000))).await.unwrap();
    let blob = world.blob(message).await;
    assert_eq!(world.store.objects_trouble(), None);
    world.s3.hang().await.unwrap();
    // A request may take a minute, and is repeated, if nothing ends it before.
    let soon = Duration::from_secs(15);
    let read = tokio::time::timeout(soon, world.read(blob, 0..5000)).await.unwrap();
    let text = read.unwrap_err().to_string();
    assert!(text.contains("S3 does not answer in time"), "{text}");
    let trouble = world.store.objects_trouble().unwrap();
    assert_eq!((&*trouble.place, &*trouble.reason), (PLACE, "S3 does not answer in time"));
    let written = world.message(Content::prepare(&noise(5000)));
    let written = tokio::time::timeout(soon, written).await.unwrap();
    assert!(matches!(written, Err(Error::Objects { .. })), "{written:?}");
    let mut writer = world.store.blob_writer();
    let large = noise(5 << 20);
    assert!(tokio::time::timeout(soon, writer.write(&large)).await.unwrap().is_err());
    world.s3.down().await;
    world.s3.up().await.unwrap();
    world.store.objects_reached().await.unwrap();
    assert_eq!(world.store.objects_trouble(), None);
    assert_eq!(world.read(blob, 0..5000).await.unwrap(), noise(5000));
}

#[on_both]
async fn what_is_deleted_is_removed_afterwards_also_when_s3_was_away() {
    let mut world = World::new().await;
    let kept = world.message(Content::prepare(&noise(6000))).await.unwrap();
    let deleted = world.message(Content::prepare(&noise(5000))).await.unwrap();
    world.s3.down().await;
    world.delete(deleted).await;
    assert_eq!((world.count("object").await, world.count("object gone").await), (1, 1));
    assert!(world.store.objects_remove().await.is_err());
    assert_eq!((world.objects(), world.count("object gone").await), (2, 1), "it is still known");
    world.s3.up().await.unwrap();
    world.store.objects_remove().await.unwrap();
    assert_eq!((world.objects(), world.count("object gone").await), (1, 0));
    assert_eq!(world.read(world.blob(kept).await, 0..6000).await.unwrap(), noise(6000));
}

#[on_both]
async fn a_store_that_does_not_lead_removes_nothing() {
    let world = World::new().await;
    let deleted = world.message(Content::prepare(&noise(5000))).await.unwrap();
    world.delete(deleted).await;
    let copy = world.store.of_client("copy");
    copy.objects_remove().await.unwrap();
    copy.objects_sweep(Duration::ZERO).await.unwrap();
    assert_eq!((world.objects(), world.count("object gone").await), (1, 1));
}

#[on_both]
async fn an_object_that_was_given_up_is_removed_and_one_that_is_held_stays() {
    let world = World::new().await;
    let mut given_up = Content::prepare(&noise(5000));
    given_up.put_away(&world.store).await.unwrap();
    let mut held = Content::prepare(&noise(6000));
    held.put_away(&world.store).await.unwrap();
    drop(given_up);
    let sweep = async || {
        world.store.blob_sweep_abandoned(Duration::ZERO).await.unwrap();
        world.store.blob_sweep().await.unwrap();
        world.store.objects_sweep(Duration::ZERO).await.unwrap();
        world.store.objects_remove().await.unwrap();
    };
    sweep().await;
    assert_eq!((world.objects(), world.count("unfinished").await), (1, 1));
    let message = world.message(held).await.unwrap();
    sweep().await;
    assert_eq!(world.read(world.blob(message).await, 0..6000).await.unwrap(), noise(6000));
}

#[on_both]
async fn content_that_was_swept_while_it_was_written_is_not_committed() {
    let world = World::new().await;
    let mut content = Content::prepare(&noise(5000));
    content.put_away(&world.store).await.unwrap();
    let ended = Statement::new("UPDATE \"unfinished\" SET \"owner\" = 999");
    world.store.write(vec![ended]).await.unwrap();
    world.store.blob_sweep().await.unwrap();
    assert!(world.message(content).await.is_err(), "its object is about to be removed");
    world.store.objects_remove().await.unwrap();
    assert_eq!((world.objects(), world.count("object").await), (0, 0));
}

#[on_both]
async fn the_sweep_takes_only_what_no_row_names_and_whose_writer_has_ended() {
    let world = World::new().await;
    let own = world.store.inner.objects.own.clone().unwrap();
    let owner = world.store.inner.owner;
    let name = |owner: i64, last: &str| format!("{}/{owner}/{last}", own.id);
    let foreign = "another/999/1-x".to_owned();
    let [left, live, named, unfinished] = [
        name(999, "1-left"),
        name(owner, "2-live"),
        name(999, "3-named"),
        name(999, "4-unfinished"),
    ];
    for name in [&left, &live, &named, &unfinished, &foreign] {
        own.objects.put(name.clone(), vec![b"x".to_vec().into()]).await.unwrap();
    }
    let object = own.objects.put(named.clone(), vec![b"x".to_vec().into()]).await.unwrap();
    let begun = "INSERT INTO \"unfinished\" (\"blob\", \"owner\", \"object\") VALUES (4, 999, $1)";
    let begun = Statement::new(begun).bind(unfinished.as_str());
    world.store.write(vec![object::insert(BlobId(3), &object), begun]).await.unwrap();
    world.store.objects_sweep(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(world.count("object gone").await, 0, "all are younger than an hour");
    world.store.objects_sweep(Duration::ZERO).await.unwrap();
    world.store.objects_remove().await.unwrap();
    for (name, is_there) in
        [(&left, false), (&live, true), (&named, true), (&unfinished, true), (&foreign, true)]
    {
        let read = own.objects.read(name, 0..1).await.unwrap();
        assert_eq!(read.is_some(), is_there, "{name}");
    }
}

#[on_both]
async fn damaged_and_missing_objects_are_told_and_never_served() {
    let world = World::new().await;
    let whole = world.message(Content::prepare(&noise(600_000))).await.unwrap();
    let file = world.s3.objects().unwrap().remove(0);
    let (sound, name) = (fs::read(&file).unwrap(), file.file_name().unwrap().to_str().unwrap());
    let mut damaged = sound.clone();
    damaged[300_000] ^= 1;
    let blob = world.blob(whole).await;
    for (object, what) in
        [(Some(damaged), "flipped"), (Some(sound[..500_000].into()), "short"), (None, "missing")]
    {
        match object {
            Some(bytes) => fs::write(&file, bytes).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let read = world.read(blob, 0..600_000).await;
        let text = read.unwrap_err().to_string();
        assert!(
            text.contains("versions of the bucket") && !text.contains("disk"),
            "{what}: {text}"
        );
        let mut told = vec![];
        let verified = world.store.verify(|what| told.push(what.to_owned())).await.unwrap();
        assert!(verified.damaged > 0 && told[0].contains("is damaged"), "{what}: {told:?}");
        assert!(told[0].contains(name) && told[0].contains(PLACE), "{what}: {told:?}");
        assert!(world.store.damage().await.unwrap().is_some(), "{what}");
    }
    fs::write(&file, &sound).unwrap();
    assert_eq!(world.read(blob, 0..600_000).await.unwrap(), noise(600_000));
}

#[on_both]
async fn an_object_that_cannot_be_reached_is_no_damage() {
    let mut world = World::new().await;
    let message = world.message(Content::prepare(&noise(5000))).await.unwrap();
    world.s3.down().await;
    let read = world.read(world.blob(message).await, 0..5000).await;
    assert!(matches!(read, Err(Error::Objects { .. })), "{read:?}");
    assert!(world.store.verify(|_| {}).await.is_err(), "what was not read is not verified");
    assert_eq!(world.store.damage().await.unwrap(), None);
}

#[on_both]
async fn a_database_is_held_to_its_place() {
    let world = World::new().await;
    world.message(Content::prepare(&noise(5000))).await.unwrap();
    let World { directory, s3, store } = world;
    store.close().await.unwrap();
    let other = store_at(directory.path(), &s3, "s3://mail/elsewhere").await.unwrap_err();
    let said = other.to_string();
    assert!(said.contains(PLACE) && said.contains("s3://mail/elsewhere"), "{said}");
    let without = crate::fixture::try_store_in(directory.path()).await.unwrap_err().to_string();
    assert!(without.contains("--blobs s3://mail/post/room"), "{without}");
    store_at(directory.path(), &s3, PLACE).await.unwrap();
}

#[on_both]
async fn a_place_in_which_nothing_is_stored_may_be_another_one() {
    let directory = tempfile::tempdir().unwrap();
    let s3 = S3::start().await.unwrap();
    let typo = store_at(directory.path(), &s3, "s3://mial/post/room").await.unwrap();
    let told = typo.objects_reached().await.unwrap_err().to_string();
    assert!(told.contains("s3://mial/post/room") && told.contains("no such bucket"), "{told}");
    if TestDatabase::present() == TestDatabase::Postgres {
        assert!(store_at(directory.path(), &s3, PLACE).await.is_err(), "a process has the other");
    }
    typo.close().await.unwrap();
    let store = store_at(directory.path(), &s3, PLACE).await.unwrap();
    store.objects_reached().await.unwrap();
    let mut world = World { directory, s3, store };
    let message = world.message(Content::prepare(&noise(5000))).await.unwrap();
    assert_eq!(world.objects(), 1);
    // What is to be removed there holds it too.
    world.s3.down().await;
    world.delete(message).await;
    let World { directory, s3, store } = world;
    store.close().await.unwrap();
    assert!(store_at(directory.path(), &s3, "s3://mail/elsewhere").await.is_err());
}

#[on_both]
async fn a_database_without_objects_may_begin_to_have_some() {
    let directory = tempfile::tempdir().unwrap();
    let s3 = S3::start().await.unwrap();
    let clock = crate::Clock::system();
    let store = store_in(directory.path(), clock, crate::Work::Threads).await;
    let world = World { directory, s3, store };
    let before = world.message(Content::prepare(&noise(5000))).await.unwrap();
    let World { directory, s3, store } = world;
    // A directory is locked.
    if TestDatabase::present() == TestDatabase::Postgres {
        let beside = store_at(directory.path(), &s3, PLACE).await;
        assert!(beside.is_err(), "a process that knows of no objects is there");
    }
    store.close().await.unwrap();
    let store = store_at(directory.path(), &s3, PLACE).await.unwrap();
    let world = World { directory, s3, store };
    let after = world.message(Content::prepare(&noise(6000))).await.unwrap();
    assert_eq!(world.objects(), 1);
    assert_eq!(world.read(world.blob(before).await, 0..5000).await.unwrap(), noise(5000));
    world.delete(before).await;
    world.delete(after).await;
    world.store.objects_remove().await.unwrap();
    assert_eq!((world.objects(), world.count("chunk").await), (0, 0));
}

#[on_both]
async fn wrong_credentials_are_told_without_them() {
    let world = World::new().await;
    let wrong = objects_at(&world.s3, PLACE, "canary-wrong-secret");
    let refused = wrong.put("x".to_owned(), vec![]).await.unwrap_err();
    let said = format!("{refused} {refused:?} {wrong:?}");
    assert!(said.contains("S3 refuses these credentials"), "{said}");
    assert!(!said.contains("canary"), "{said}");
}

#[on_both]
async fn a_restored_copy_removes_nothing_of_its_source() {
    let world = World::new().await;
    let message = world.message(Content::prepare(&noise(5000))).await.unwrap();
    let own = |store: &Store| store.inner.objects.own.clone().unwrap().id;
    let before = own(&world.store);
    world.store.restored(false).await.unwrap();
    let World { directory, s3, store } = world;
    store.close().await.unwrap();
    let store = store_at(directory.path(), &s3, PLACE).await.unwrap();
    assert_ne!(own(&store), before);
    let world = World { directory, s3, store };
    assert_eq!(world.read(world.blob(message).await, 0..5000).await.unwrap(), noise(5000));
    world.delete(message).await;
    world.store.objects_sweep(Duration::ZERO).await.unwrap();
    world.store.objects_remove().await.unwrap();
    assert_eq!((world.objects(), world.count("object gone").await), (1, 0));
}

#[on_both]
async fn a_restored_copy_takes_the_objects_over_when_it_is_told_to() {
    let world = World::new().await;
    let message = world.message(Content::prepare(&noise(5000))).await.unwrap();
    let before = world.store.inner.objects.own.clone().unwrap().id;
    // As a start does on what the tools of PostgreSQL have copied.
    world.store.restored(false).await.unwrap();
    world.store.restored(true).await.unwrap();
    let World { directory, s3, store } = world;
    store.close().await.unwrap();
    let store = store_at(directory.path(), &s3, PLACE).await.unwrap();
    assert_eq!(store.inner.objects.own.clone().unwrap().id, before);
    let world = World { directory, s3, store };
    world.delete(message).await;
    world.store.objects_remove().await.unwrap();
    assert_eq!(world.objects(), 0);
}
