//! Changes of files, which are changes of their entity.

use crate::database::Room;
use crate::database::Statement;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::file::FileOwner;
use crate::file::FileRow;
use crate::file::NewFile;
use crate::file::former_of;
use crate::file::insert;
use crate::file::take_away;
use crate::once;
use crate::queue;
use crate::record::ATTEMPTS;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::MessageEntityId;
use postroom_model::builtin::files;
use postroom_model::client;
use serde_json::Map;
use serde_json::Value as Json;

/// Which file a new file may replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replace {
    /// None. No file of its name may exist.
    Nothing,
    /// The file of its name, or the only file of a property that is not a list.
    Any,
    /// The same, but only a file with this [`FileRow::etag`]. `None`: no file may exist.
    Seen(Option<String>),
}

impl Store {
    /// Adds files to an entity, all or none. `replace` says which files they may replace.
    ///
    /// # Errors
    ///
    /// [`Failed::Exists`] names the one that is there already; [`Failed::Sending`] while the entity
    /// is being sent, [`Failed::Stale`] when it is no longer there, [`Failed::PartOfOriginal`] for
    /// a file that is not replaced, [`Failed::OtherFile`] where another one was seen.
    pub async fn file_add(
        &self,
        place: EntityPlace<'_>,
        files: Vec<NewFile>,
        replace: &Replace,
    ) -> Result<(), Error> {
        let EntityPlace { domain, class, id: entity } = place;
        for _ in 0..ATTEMPTS {
            let mut touch = self.touch(place).await?;
            for file in files.iter().cloned() {
                touch.check(&file.property)?;
                let present = touch.files_of(self, &file.property).await?;
                let is_list = class.property(&file.property).is_none_or(|property| property.multi);
                let same = present.iter().find(|one| one.name == file.name || !is_list);
                match (replace, same) {
                    (Replace::Nothing, Some(same)) => {
                        let what = format!("a file `{}`", same.name);
                        return Err(Error::Condition(Failed::Exists { what }));
                    }
                    (Replace::Seen(seen), same) if *seen != same.map(FileRow::etag) => {
                        return Err(Error::Condition(Failed::OtherFile));
                    }
                    (_, Some(same)) => touch.statements.extend(removal(self, entity, same)?),
                    (_, None) => {}
                }
                let position = present.iter().map(|file| file.position + 1).max().unwrap_or(0);
                let owner = FileOwner { domain, entity, class: Some(class) };
                touch.statements.extend(insert(self, owner, file, position, None).await?);
            }
            match touch.write(self, Room::Free).await {
                // Somebody was faster: look again.
                Err(Error::Condition(Failed::Stale)) => {}
                done => return done,
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }

    /// Deletes one file. `false`: there is none of that name. With `seen`, only a file with this
    /// [`FileRow::etag`].
    ///
    /// # Errors
    ///
    /// [`Failed::Sending`] while the entity is being sent; [`Failed::PartOfOriginal`];
    /// [`Failed::OtherFile`].
    pub async fn file_delete(
        &self,
        place: EntityPlace<'_>,
        property: &str,
        name: &str,
        seen: Option<&str>,
    ) -> Result<bool, Error> {
        for _ in 0..ATTEMPTS {
            let mut touch = self.touch(place).await?;
            let present = touch.files_of(self, property).await?;
            let Some(file) = present.iter().find(|file| file.name == name) else {
                return Ok(false);
            };
            if seen.is_some_and(|seen| seen != file.etag()) {
                return Err(Error::Condition(Failed::OtherFile));
            }
            touch.check(property)?;
            touch.statements.extend(removal(self, place.id, file)?);
            match touch.write(self, Room::Reserve).await {
                // Somebody was faster: look again.
                Err(Error::Condition(Failed::Stale)) => {}
                Ok(()) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }

    /// Begins to change files of an entity.
    async fn touch<'a>(&self, place: EntityPlace<'a>) -> Result<Touch<'a>, Error> {
        let EntityPlace { domain, class, id: entity } = place;
        let current = self.entity_get(domain, class, entity).await?;
        let current = current.ok_or(Error::Condition(Failed::Stale))?;
        Ok(Touch { domain, class, current, former: Map::new(), statements: vec![] })
    }
}

/// A change of files. It is a change of the entity, whose version grows. The composed bytes of a
/// message are discarded, and while these are being sent, its files cannot change.
struct Touch<'a> {
    domain: &'a Domain,
    class: &'a Class,
    current: Entity,
    /// The files that there were, by property.
    former: Map<String, Json>,
    statements: Vec<Statement>,
}

impl Touch<'_> {
    /// Whether the client may change the files of a property.
    fn check(&self, property: &str) -> Result<(), Error> {
        match client::file_problem(self.class, &self.current, property) {
            Some(reason) => Err(Error::Condition(Failed::ReadOnly { reason })),
            None => Ok(()),
        }
    }

    /// The files of a property as they are, before they change.
    async fn files_of(&mut self, store: &Store, property: &str) -> Result<Vec<FileRow>, Error> {
        let place = EntityPlace::new(self.domain, self.class, self.current.id);
        let present = store.file_list_of(place, property).await?;
        self.former.extend(former_of(property, &present));
        Ok(present)
    }

    async fn write(self, store: &Store, room: Room) -> Result<(), Error> {
        let Self { domain, class, current, former, statements } = self;
        let mut batch = vec![];
        if former.keys().any(|property| files::COMPOSED.contains(&property.as_str())) {
            batch.extend([
                queue::invalidate(MessageEntityId::of(current.id)),
                queue::none_of(MessageEntityId::of(current.id)),
            ]);
        }
        batch.push(once::forget_put(domain, class, current.id));
        batch.extend(store.records(domain, class).change(&current, &Map::new(), former)?);
        batch.extend(statements);
        match room {
            Room::Free => store.write(batch).await?,
            Room::Reserve => store.write_at_need(batch).await?,
        };
        store.changed(class, &current);
        Ok(())
    }
}

fn removal(store: &Store, entity: EntityId, file: &FileRow) -> Result<Vec<Statement>, Error> {
    if file.is_part() {
        return Err(Error::Condition(Failed::PartOfOriginal { name: file.name.clone() }));
    }
    Ok(take_away(store, entity, file))
}
