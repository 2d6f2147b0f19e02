//! Follows renamed mailboxes: a monitored folder takes the new name of its mailbox.
//!
//! LIST does not report a rename: one name is gone, and another one is new. The mailbox is
//! recognised by its MAILBOXID if the server tells it, otherwise by its UIDVALIDITY and the facts
//! about its recorded messages. Without such evidence, no folder is changed.
//!
//! Standards: RFC 8474 §4.1.

mod resemblance;

use crate::account::Account;
use crate::account::Folder;
use crate::error::Error;
use crate::receive::evidence::EvidenceElsewhere;
use crate::receive::identity::Care;
use crate::receive::identity::IdentityCheck;
use crate::receive::sampling::sample;
use crate::receive::witness::Unsteady;
use crate::renamed::resemblance::is_alike;
use crate::shared::Shared;
use crate::source::contract::ListedMailbox;
use crate::source::contract::MailboxAccess;
use crate::source::contract::OpenedMailbox;
use crate::source::contract::Source;
use crate::source_error::SourceFailure;
use postroom_imap::MailboxName;
use postroom_model::FolderId;
use postroom_store::FolderMailbox;
use postroom_store::MailboxHolder;
use postroom_store::Origin;
use postroom_store::Renamed;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// How many mailboxes are examined in one survey.
const CANDIDATES_MAX: usize = 50;
/// How many of the newest recorded messages, and how many others, are compared.
const WITNESSES: (usize, usize) = (8, 8);
/// A mailbox that has a folder, and was not the missing mailbox, is examined again after this time.
const EXAMINED_AGAIN: Duration = Duration::from_secs(24 * 3600);

/// For each folder whose mailbox is gone: which mailboxes with folders were examined, and when the
/// first of them was examined.
#[derive(Debug, Default)]
pub(crate) struct Examined {
    /// What is known of the evidence that the source gives of the mailboxes that were examined.
    elsewhere: EvidenceElsewhere,
    since: ExaminedSince,
}

type ExaminedSince = BTreeMap<FolderId, (Instant, BTreeSet<MailboxName>)>;

impl Examined {
    /// Forgets the folders whose mailboxes are back, and examinations that are too long ago.
    fn retain(&mut self, gone: &[&Folder]) {
        self.since.retain(|folder, (at, _)| {
            at.elapsed() < EXAMINED_AGAIN && gone.iter().any(|gone| gone.id == *folder)
        });
    }

    /// Whether a mailbox was examined for all of these folders.
    fn has(&self, gone: &[&Folder], name: &MailboxName) -> bool {
        let has = |folder: &&Folder| {
            self.since.get(&folder.id).is_some_and(|(_, names)| names.contains(name))
        };
        gone.iter().all(has)
    }
}

fn add(since: &mut ExaminedSince, gone: &[&Folder], name: &MailboxName) {
    for folder in gone {
        let (_, names) =
            since.entry(folder.id).or_insert_with(|| (Instant::now(), BTreeSet::new()));
        names.insert(name.clone());
    }
}

/// The mailboxes that have folders in an account. The value is the folder if it can be replaced,
/// because it is not enabled ([`MailboxHolder::is_idle`]). Otherwise it is `None`.
pub(crate) type KnownMailboxes = BTreeMap<MailboxName, Option<FolderId>>;

/// Finds the mailboxes of folders whose mailboxes are gone under their new names, and gives the
/// folders these names. It looks at new mailboxes, and at mailboxes whose folders are not enabled.
///
/// Returns the new mailboxes that could not be compared yet, because the server refused to show
/// them for now, or because there are too many for one survey. They must not get folders until a
/// later survey has compared them, because a mailbox that has a folder no longer counts as new.
///
/// # Errors
///
/// What ended the connection, or the store.
pub(crate) async fn follow<S: Source>(
    shared: &Shared,
    account: &Account,
    source: &mut S,
    listed: &[ListedMailbox],
    examined: &mut Examined,
) -> Result<BTreeSet<MailboxName>, Error> {
    let names: BTreeSet<_> = listed.iter().map(|listed| &listed.name).collect();
    let gone: Vec<_> =
        account.monitored().filter(|folder| !names.contains(&folder.mailbox)).collect();
    examined.retain(&gone);
    if gone.is_empty() {
        examined.elsewhere = EvidenceElsewhere::default();
        return Ok(BTreeSet::new());
    }
    let known = known_mailboxes(shared, account).await?;
    let mut new = listed.iter().filter(|listed| !known.contains_key(&listed.name));
    let some: Vec<_> = new.by_ref().take(CANDIDATES_MAX).collect();
    let open: BTreeSet<_> = new.map(|listed| listed.name.clone()).collect();
    let idle = listed.iter().filter_map(|listed| Some((listed, (*known.get(&listed.name)?)?)));
    let idle = idle.filter(|(listed, _)| !examined.has(&gone, &listed.name));
    let idle: Vec<_> = idle.take(CANDIDATES_MAX - some.len()).collect();
    let has_all = open.is_empty();
    let Examined { elsewhere, since } = examined;
    let mut search = Search { shared, account, source, candidates: vec![], open, elsewhere };
    for listed in some {
        search.examine(listed, None).await?;
    }
    for (listed, folder) in idle {
        if search.examine(listed, Some(folder)).await? {
            add(since, &gone, &listed.name);
        }
    }
    let left = search.follow(&gone).await?;
    if has_all {
        search.follow_alike(&left).await?;
    } else {
        // A mailbox is followed by likeness only if no other is alike, so all must be examined
        // first.
        let new = search.candidates.iter().filter(|candidate| candidate.folder.is_none());
        search.open.extend(new.map(|candidate| candidate.listed.name.clone()));
    }
    Ok(search.open)
}

/// The mailboxes of all folders of an account.
///
/// # Errors
///
/// When the store fails.
pub(crate) async fn known_mailboxes(
    shared: &Shared,
    account: &Account,
) -> Result<KnownMailboxes, Error> {
    let folders = shared.store.folders_known(&account.domain, account.id).await?;
    let known = |known: MailboxHolder| {
        let name = match known.mailbox {
            FolderMailbox::Surveyed(encoded) => MailboxName::from_percent_encoded(&encoded),
            FolderMailbox::Named(name) => MailboxName::from_display(&name),
        };
        (name, known.is_idle.then_some(known.folder))
    };
    Ok(folders.into_iter().map(known).collect())
}

/// A mailbox that may be the one of a folder whose mailbox is gone.
struct Candidate<'a> {
    listed: &'a ListedMailbox,
    /// Its folder, which is not enabled. `None`: the mailbox is new.
    folder: Option<FolderId>,
    /// Its identity facts, as the server told them.
    told: OpenedMailbox,
}

/// A folder whose mailbox is gone, and what is recorded about the mailbox.
struct Gone<'a> {
    folder: &'a Folder,
    origin: Origin,
}

/// The search for the mailboxes of folders whose mailboxes are gone.
struct Search<'a, S> {
    shared: &'a Shared,
    account: &'a Account,
    source: &'a mut S,
    candidates: Vec<Candidate<'a>>,
    /// The new mailboxes that could not be compared yet.
    open: BTreeSet<MailboxName>,
    /// What is known of the evidence that the source gives of each candidate.
    elsewhere: &'a mut EvidenceElsewhere,
}

impl<'a, S: Source> Search<'a, S> {
    /// Asks for the identity facts of a mailbox. Returns whether the question is settled: the
    /// server showed the mailbox, or will never show it.
    async fn examine(
        &mut self,
        listed: &'a ListedMailbox,
        folder: Option<FolderId>,
    ) -> Result<bool, Error> {
        match self.source.open(&listed.name, MailboxAccess::Read).await {
            Ok(told) => {
                self.candidates.push(Candidate { listed, folder, told });
                Ok(true)
            }
            Err(error) if error.is_refusal() => {
                let is_lasting = is_lasting(&error);
                if folder.is_none() && !is_lasting {
                    self.open.insert(listed.name.clone());
                }
                Ok(is_lasting)
            }
            Err(error) => Err(error),
        }
    }

    /// Lets each folder whose mailbox is gone follow the mailbox that has the same MAILBOXID, or
    /// the same UIDVALIDITY and messages. Returns the folders for which there is none.
    async fn follow<'b>(&mut self, gone: &[&'b Folder]) -> Result<Vec<Gone<'b>>, Error> {
        let mut left = vec![];
        for folder in gone.iter().copied() {
            let origin = self.shared.store.origin(folder.id).await?;
            if origin.login.as_ref().is_some_and(|login| *login != self.account.mailbox_origin()) {
                // The folder's mailbox was at another server, or under another login.
                continue;
            }
            let gone = Gone { folder, origin };
            let at = match self.by_mailbox_id(&gone).await? {
                Some(at) => Some(at),
                None => self.by_uids(&gone.origin).await?,
            };
            match at {
                Some(at) => self.take(folder, at).await?,
                None => left.push(gone),
            }
        }
        Ok(left)
    }

    /// Lets each folder whose mailbox is gone follow the new mailbox that has the same messages
    /// under other UIDs. This happens only if the folder resembles no other new mailbox, and the
    /// mailbox resembles no other folder.
    async fn follow_alike(&mut self, gone: &[Gone<'_>]) -> Result<(), Error> {
        let mut pairs = vec![];
        for gone in gone {
            for at in 0..self.candidates.len() {
                if self.is_alike(&gone.origin, at).await? {
                    pairs.push((gone.folder, at));
                }
            }
        }
        let is_only = |(folder, at): &(&Folder, usize)| {
            let involved =
                |(other, place): &&(&Folder, usize)| other.id == folder.id || place == at;
            pairs.iter().filter(involved).count() == 1
        };
        let mut taken: Vec<_> = pairs.iter().filter(|pair| is_only(pair)).collect();
        // The last one first, because `take` removes a candidate and moves a later one.
        taken.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
        for (folder, at) in taken {
            self.take(folder, *at).await?;
        }
        Ok(())
    }

    /// The candidate that has the MAILBOXID of a folder whose mailbox is gone. Also `None` if the
    /// server gives this MAILBOXID to several mailboxes.
    async fn by_mailbox_id(&mut self, gone: &Gone<'_>) -> Result<Option<usize>, Error> {
        let Some(id) = &gone.origin.mailbox_id else {
            return Ok(None);
        };
        let has_it = |candidate: &Candidate<'_>| candidate.told.mailbox_id.as_ref() == Some(id);
        let Some(at) = self.candidates.iter().position(has_it) else {
            return Ok(None);
        };
        if self.candidates.iter().filter(|candidate| has_it(candidate)).count() > 1 {
            return Ok(None);
        }
        let noted = self.shared.store.mailbox_id_folders(self.account.id, id).await?;
        if noted.iter().any(|other| *other != gone.folder.id) {
            return Ok(None);
        }
        // INBOX is never renamed. If it has the same MAILBOXID, this server's ids prove nothing.
        match self.source.open(&MailboxName::inbox(), MailboxAccess::Read).await {
            Ok(inbox) if inbox.mailbox_id.as_ref() == Some(id) => Ok(None),
            Err(error) if !error.is_refusal() => Err(error),
            Ok(_) | Err(_) => Ok(Some(at)),
        }
    }

    /// The candidate that has the UIDVALIDITY, UIDs and messages of a mailbox that is gone.
    async fn by_uids(&mut self, origin: &Origin) -> Result<Option<usize>, Error> {
        for at in 0..self.candidates.len() {
            if self.has_same_uids(origin, at).await? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    async fn has_same_uids(&mut self, origin: &Origin, at: usize) -> Result<bool, Error> {
        let Some(candidate) = self.candidates.get(at) else {
            return Ok(false);
        };
        let elsewhere = &mut *self.elsewhere;
        let result = has_same_uids(self.shared, self.source, origin, candidate, elsewhere).await;
        self.heard(at, result)
    }

    async fn is_alike(&mut self, origin: &Origin, at: usize) -> Result<bool, Error> {
        // A mailbox with a folder may have been there beside the gone one, as a copy of it.
        let new = self.candidates.get(at).filter(|candidate| candidate.folder.is_none());
        let (Some(epoch), Some(candidate)) = (origin.epoch, new) else {
            return Ok(false);
        };
        let name = &candidate.listed.name;
        let result = match self.source.open(name, MailboxAccess::Read).await {
            Ok(opened) => {
                let (name, like) = (&candidate.listed.name, Unsteady::default());
                let evidence = self.elsewhere.of(name, opened.uid_validity, like);
                is_alike(self.shared, self.source, epoch, evidence).await
            }
            Err(error) => Err(error),
        };
        self.heard(at, result)
    }

    /// The result of a comparison. A refusal counts as "not the same". A new mailbox that is
    /// refused only for now is compared again later.
    fn heard(&mut self, at: usize, result: Result<bool, Error>) -> Result<bool, Error> {
        match result {
            Err(error) if error.is_refusal() => {
                let new = self.candidates.get(at).filter(|candidate| candidate.folder.is_none());
                let name = new.filter(|_| !is_lasting(&error)).map(|new| new.listed.name.clone());
                self.open.extend(name);
                Ok(false)
            }
            result => result,
        }
    }

    async fn take(&mut self, folder: &Folder, at: usize) -> Result<(), Error> {
        let Candidate { listed, folder: former, .. } = self.candidates.swap_remove(at);
        self.open.remove(&listed.name);
        let (mailbox, name) = (listed.name.to_percent_encoded(), &listed.display);
        let renamed = Renamed { mailbox: &mailbox, name, former };
        let domain = &self.account.domain;
        if self.shared.store.folder_follow(domain, folder.id, &renamed).await? {
            tracing::info!(
                account = self.account.address,
                folder = folder.title,
                "the mailbox was renamed to {name}: the folder follows it"
            );
        }
        Ok(())
    }
}

/// Whether a refusal will not pass with time.
fn is_lasting(error: &Error) -> bool {
    matches!(error.source_failure(), Some(SourceFailure::Refused { is_lasting: true, .. }))
}

/// Whether a candidate has the UIDVALIDITY, UIDs and messages of a mailbox that is gone.
async fn has_same_uids<S: Source>(
    shared: &Shared,
    source: &mut S,
    origin: &Origin,
    candidate: &Candidate<'_>,
    elsewhere: &mut EvidenceElsewhere,
) -> Result<bool, Error> {
    let (Some(epoch), Some(uid_validity)) = (origin.epoch, origin.uid_validity) else {
        return Ok(false);
    };
    let told = &candidate.told;
    let is_changed = |now: u64| origin.uid_next.is_some_and(|then| now < then);
    if uid_validity == 0
        || told.uid_validity != uid_validity
        || told.uid_next.is_some_and(is_changed)
    {
        return Ok(false);
    }
    let opened = source.open(&candidate.listed.name, MailboxAccess::Read).await?;
    if opened.uid_validity != uid_validity || opened.uid_next.is_some_and(is_changed) {
        return Ok(false);
    }
    let recorded = shared.store.ledger(epoch).await?.recorded;
    let evidence = elsewhere.of(&candidate.listed.name, uid_validity, Unsteady::default());
    evidence.ask_suspects(&shared.clock, source).await?;
    let some = sample(&shared.clock, &evidence.free(&recorded), WITNESSES.0, WITNESSES.1);
    let check = IdentityCheck { shared, source, epoch, evidence, unloaded: &[] };
    let look = check.look(&some, Care::Much).await?;
    Ok(look.over.is_none() && !look.same.is_empty())
}
