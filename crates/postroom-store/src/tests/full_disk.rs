//! A disk of PostgreSQL that is full for what is large, and not for what fits into pages that exist.

use crate::blob::Content;
use crate::clock::Clock;
use crate::database::Room;
use crate::database::Statement;
use crate::error::Error;
use crate::fixture::store_in;
use crate::store::Store;
use crate::work::Work;
use postroom_testkit::TestDatabase;
use postroom_testkit::on_both;

async fn run(store: &Store, sql: impl Into<std::borrow::Cow<'static, str>>) {
    store.write(vec![Statement::new(sql)]).await.unwrap();
}

#[on_both]
async fn a_full_disk_is_told_until_something_large_fits() {
    if TestDatabase::present() != TestDatabase::Postgres {
        // The disk of a data directory is looked at.
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path(), Clock::system(), Work::Threads).await;
    store.check().await.unwrap();
    let no_space = "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF octet_length(NEW.bytes) > 1000 THEN
          RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100';
        END IF; RETURN NEW; END $$";
    run(&store, no_space).await;
    let fill = async || {
        for table in ["meta", "chunk"] {
            let at = format!(
                "CREATE TRIGGER no_space BEFORE INSERT ON \"{table}\" FOR EACH ROW
                 EXECUTE FUNCTION no_space()"
            );
            run(&store, at).await;
        }
    };
    let empty = async || {
        for table in ["meta", "chunk"] {
            run(&store, format!("DROP TRIGGER no_space ON \"{table}\"")).await;
        }
    };
    fill().await;
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(300_000).collect();
    let written = async || {
        let (_, statements) = Content::prepare(&noise).statements(&store).await.unwrap();
        store.write(statements).await
    };
    assert!(matches!(written().await, Err(Error::Full)));
    // What nodes write all the time needs no space.
    store.renew().await.unwrap();
    assert!(matches!(store.check().await, Err(Error::Full)), "a small batch shows nothing");
    empty().await;
    assert!(store.inner.database.is_full(), "nobody has looked");
    store.sweep().await;
    assert!(!store.inner.database.is_full());
    store.check().await.unwrap();
    assert!(written().await.is_ok());
    // What is large shows it before anybody looks.
    fill().await;
    assert!(matches!(written().await, Err(Error::Full)));
    empty().await;
    assert!(store.inner.database.is_full(), "nothing large was written");
    let deletes = Statement::new("DELETE FROM \"meta\" WHERE \"bytes\" = $1").bind(noise.clone());
    store.inner.database.write(vec![deletes], Room::Reserve).await.unwrap();
    assert!(store.inner.database.is_full(), "a deletion needs no space, however long it is");
    assert!(written().await.is_ok());
    assert!(!store.inner.database.is_full());
    let left = "SELECT 1 FROM \"meta\" WHERE \"name\" = 'probe'";
    assert!(store.read(Statement::new(left)).await.unwrap().is_empty());
}
